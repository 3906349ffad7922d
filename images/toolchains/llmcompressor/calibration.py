"""Calibration by llm-compressor, one transformer layer after another: what the passes of this image share."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from harness.contracts.artifact import Context, ConversionError
from harness.toolchain.data import calibration_rows

#: Heads stay as they are: where one is tied to the embedding, changing it would change that too.
HEADS = ("lm_head", "classifier", "score")


def examples(context: Context, wanted: int, length: int) -> list[dict[str, Any]]:
    """Model inputs [1, up to ``length``] of training rows, in an order that the seed sets."""
    import torch

    chosen = calibration_rows(context, wanted)
    return [{name: torch.from_numpy(array[:, :length]) for name, array in row.items()} for row in chosen]


def calibrate(model: Any, modifiers: Sequence[Any], rows: list[dict[str, Any]], context: Context) -> None:
    """Let the modifiers, in their order, change ``model``; each layer sees what the changed ones before it give.

    The library's own log, a message for every layer, is the progress. Raises ConversionError where GPTQ fell back to
    rounding, which the library only logs.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # as the library would set it, with a warning
    from llmcompressor import oneshot
    from loguru import logger
    from torch.utils.data import DataLoader

    places = {name: place for place, (name, _) in enumerate(model.named_modules()) if name}
    fallbacks: list[str] = []
    furthest = 0

    def tell(message: Any) -> None:
        nonlocal furthest
        if message.startswith("Hessian inversion failed"):
            fallbacks.append(message.split(".")[0])
        named = [word for word in re.findall(r"[\w.]+", message) if places.get(word, 0) > furthest]
        if named:
            furthest = places[named[0]]
            context.progress(0.05 + 0.85 * furthest / len(places), named[0])

    logger.remove()
    logger.add(tell, level="DEBUG", format="{message}")
    # Rows are given one at a time, as they are: nothing is tokenized, padded or shuffled.
    loader = DataLoader(rows, batch_size=1, collate_fn=lambda row: row[0])
    context.progress(0.02, f"calibrating on {len(rows)} examples")
    oneshot(
        model=model,
        dataset=loader,
        recipe=list(modifiers),
        num_calibration_samples=len(rows),
        shuffle_calibration_samples=False,
        pipeline="sequential",
    )
    if fallbacks:
        raise ConversionError(f"{fallbacks[0]}: raise damping or samples")
