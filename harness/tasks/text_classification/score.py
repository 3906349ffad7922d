"""Accuracy, macro F1 and Matthews correlation of texts, one class each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.contracts import prepared
from harness.contracts.adapter import Array, Arrays
from harness.contracts.task import Score
from harness.tasks import _ragged, _text
from harness.tasks._bootstrap import scored
from harness.tasks._classes import accuracy, macro_f1, matthews

METRICS = {"accuracy": accuracy, "macro_f1": macro_f1, "matthews": matthews}


def evaluation_batches(data: Path) -> Iterator[dict[str, Array]]:
    """``input_ids``, ``attention_mask`` and ``token_type_ids`` [1, tokens] of each text or pair."""
    for ids, segments, _ in _examples(data):
        yield _text.inputs(ids[None], segments[None])


def training_examples(data: Path) -> list[dict[str, Array]]:
    """``input_ids`` [tokens] and ``labels`` (the class's number, a scalar array) of each text.

    Pairs also have ``token_type_ids`` if the model tells the two texts apart by them; not every model takes them.
    """
    examples = list(_examples(data))
    paired = any(segments.any() for _, segments, _ in examples)
    return [
        {"input_ids": ids, **({"token_type_ids": segments} if paired else {}), "labels": label}
        for ids, segments, label in examples
    ]


def reduce(outputs: Arrays, inputs: Arrays) -> Array:
    """The class's number, a scalar array."""
    return np.asarray(outputs["logits"][0].argmax(), dtype=np.int64)


def score(predictions: Sequence[Array], data: Path) -> Score:
    """Texts are what is resampled."""
    _, arrays = prepared.load(data)
    return scored(np.column_stack([arrays["labels"], np.stack(predictions)]).astype(np.float64), METRICS)


def _examples(data: Path) -> Iterator[tuple[Array, Array, Array]]:
    """Token ids, segments (0 for the first text of a pair, 1 for the second) and label of each text."""
    _, arrays = prepared.load(data)
    segments = arrays.get("token_type_ids", np.zeros_like(arrays["input_ids"]))
    parts = (_ragged.unflatten(values, arrays["offsets"]) for values in (arrays["input_ids"], segments))
    yield from zip(*parts, map(np.asarray, arrays["labels"]), strict=True)
