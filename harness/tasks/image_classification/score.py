"""Accuracy and macro F1 of images, one class each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.contracts import prepared
from harness.contracts.adapter import Array, Arrays
from harness.contracts.task import Score
from harness.tasks._bootstrap import scored
from harness.tasks._classes import accuracy, macro_f1

METRICS = {"accuracy": accuracy, "macro_f1": macro_f1}


def evaluation_batches(data: Path) -> Iterator[dict[str, Array]]:
    """``pixel_values`` [1, channels, height, width] of each image."""
    _, arrays = prepared.load(data)
    for image in arrays["pixel_values"]:
        yield {"pixel_values": image[None]}


def training_examples(data: Path) -> list[dict[str, Array]]:
    """``pixel_values`` [channels, height, width] and ``labels`` (the class id, a scalar array) of each image."""
    _, arrays = prepared.load(data)
    pairs = zip(arrays["pixel_values"], arrays["labels"], strict=True)
    return [{"pixel_values": image, "labels": np.asarray(label)} for image, label in pairs]


def reduce(outputs: Arrays, inputs: Arrays) -> Array:
    """The class id, a scalar array."""
    return np.asarray(outputs["logits"][0].argmax(), dtype=np.int64)


def score(predictions: Sequence[Array], data: Path) -> Score:
    """Images are what is resampled."""
    _, arrays = prepared.load(data)
    return scored(np.column_stack([arrays["labels"], np.stack(predictions)]).astype(np.float64), METRICS)
