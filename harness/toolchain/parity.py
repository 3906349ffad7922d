"""Parity: a converted model must give the logits of its source, on inputs whose shape the conversion did not see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.artifact import ConversionError
from harness.contracts.cards import Use
from harness.toolchain.checkpoint import load_tokenizer

#: Largest difference of two logits that fp32 rounding in another order explains, relative to the largest logit.
TOLERANCE = 1e-3
SENTENCE = "Marie Curie met the council of Warsaw on Tuesday to discuss the new water supply of the city."


def sample_inputs(path: Path, config: Any, use: Use, batch: int) -> dict[str, Array]:
    """Inputs as the worker gives them: text through the checkpoint's own tokenizer, or smooth random images.

    ``batch`` also sets the length of the text, so that another batch is another shape in every dynamic dimension. Rows
    differ. An encoder's later rows are shorter and padded where it knows how, so that a graph that lost its mask fails.
    """
    if use.modality == "image":
        return {"pixel_values": _images(batch, config.num_channels, getattr(config, "image_size", None) or 32)}
    tokenizer = load_tokenizer(path)
    text = " ".join([SENTENCE] * batch)
    if use.call == "generate":
        ids = np.array(tokenizer(text)["input_ids"], np.int64)
        return {"input_ids": np.stack([np.roll(ids, row) for row in range(batch)])}
    words = text.split()
    pads = tokenizer.pad_token is not None
    texts = [" ".join(words[row:] if pads else words) for row in range(batch)]
    return dict(tokenizer(texts, padding=pads, return_tensors="np"))


def _images(batch: int, channels: int, size: int) -> Array:
    """Random 4 by 4 patterns, enlarged linearly: as smooth as photographs are, [batch, channels, size, size] in 0..1."""
    coarse = np.random.default_rng(batch).random((batch, channels, 4, 4))
    places = np.linspace(0, 3, size)
    for axis in (2, 3):
        coarse = np.apply_along_axis(lambda line: np.interp(places, np.arange(4), line), axis, coarse)
    return coarse.astype(np.float32)


def source_logits(model: Any, inputs: Mapping[str, Array]) -> Array:
    """What the transformers model answers, as float32."""
    import torch

    with torch.inference_mode():
        logits: Array = (
            model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.float().numpy()
        )
    return logits


def require_close(expected: Array, actual: Array, tolerance: float = TOLERANCE) -> float:
    """The largest absolute difference of the logits.

    Raises ConversionError where the shapes differ, or a logit differs by more than ``tolerance`` relative to the largest.
    """
    if expected.shape != actual.shape:
        raise ConversionError(f"the converted model's logits have the shape {actual.shape} instead of {expected.shape}")
    difference = float(np.abs(expected - actual).max())
    if not difference <= tolerance * max(1.0, float(np.abs(expected).max())):
        raise ConversionError(f"the converted model differs from the checkpoint: logits by up to {difference:.3g}")
    return difference
