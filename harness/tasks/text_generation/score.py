"""Perplexity of held-out text.

The held-out texts, joined by blank lines, are tokenized once (special tokens only as the tokenizer itself adds them) and
cut into windows of 512 tokens that do not overlap; the last may be shorter. A window is scored on every token but its first.
PPL = exp(summed negative log-likelihood / scored tokens), both over all windows.

Decoding is teacher-forced: every runtime is fed the same real continuation, so that all do the same work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.contracts import prepared
from harness.contracts.adapter import Array, Arrays
from harness.contracts.task import Score
from harness.tasks import _ragged
from harness.tasks._bootstrap import Floats, of_sums, scored

_ROWS_AT_ONCE = 64  # bounds the float64 copy of the logits: 64 rows x 50,000 words are 26 MB


def evaluation_batches(data: Path) -> Iterator[dict[str, Array]]:
    """``input_ids`` [1, up to 512] of each window."""
    for window in _windows(data):
        yield {"input_ids": window[None]}


def training_examples(data: Path) -> list[dict[str, Array]]:
    """``input_ids`` [up to 512] of each window; the ``labels`` are the same ids, because models shift them."""
    return [{"input_ids": window, "labels": window} for window in _windows(data)]


def reduce(outputs: Arrays, inputs: Arrays) -> Array:
    """``[summed negative log-likelihood in nats, scored tokens]`` of one window; the arithmetic is float64."""
    targets = inputs["input_ids"][0, 1:]
    scores = outputs["logits"][0, :-1]
    nll = 0.0
    for start in range(0, len(targets), _ROWS_AT_ONCE):
        rows = scores[start : start + _ROWS_AT_ONCE].astype(np.float64)
        ids = targets[start : start + _ROWS_AT_ONCE]
        top = rows.max(axis=-1)
        log_normalizer = top + np.log(np.exp(rows - top[:, None]).sum(axis=-1))
        nll += float((log_normalizer - rows[np.arange(len(ids)), ids]).sum())
    return np.array([nll, len(targets)], dtype=np.float64)


def score(predictions: Sequence[Array], data: Path) -> Score:
    """Windows are what is resampled; the tallies of each are what ``reduce`` made."""
    return scored(np.stack(predictions), METRICS)


def perplexity(sums: Floats) -> Floats:
    """Perplexity from sums [n, 2]: negative log-likelihoods, and scored tokens."""
    with np.errstate(over="ignore"):  # a broken model's perplexity may be infinite, and is reported so
        return np.exp(sums[:, 0] / sums[:, 1])


METRICS = {"perplexity": of_sums(perplexity)}


def _windows(data: Path) -> list[Array]:
    _, arrays = prepared.load(data)
    return _ragged.unflatten(arrays["input_ids"], arrays["offsets"])
