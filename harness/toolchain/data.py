"""What a pass may look at: the train split of the model's data set, prepared for the model. Held-out rows are never there.

The task that the step's spec names reads what it prepared; passes never touch tasks themselves.
"""

from __future__ import annotations

import random

from harness import tasks
from harness.contracts.adapter import Array
from harness.contracts.artifact import Context, ConversionError


def calibration_rows(context: Context, wanted: int) -> list[dict[str, Array]]:
    """Model inputs [1, ...] of ``wanted`` rows of the step's train split, or of all if there are fewer, drawn by the seed."""
    rows = list(tasks.score(context.task).evaluation_batches(context.inputs["calibration"]))
    return random.Random(context.seed).sample(rows, min(wanted, len(rows)))


def training_examples(context: Context) -> list[dict[str, Array]]:
    """Every example of the step's train split, without a batch axis: model inputs, and the ``labels`` to learn.

    Raises ConversionError where the step was given no training data.
    """
    if "calibration" not in context.inputs:
        raise ConversionError("this pass trains, but the step has no training data: name a dataset with a train split")
    return tasks.score(context.task).training_examples(context.inputs["calibration"])
