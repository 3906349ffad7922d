"""Fidelity: how near a cell's outputs come to those of the reference, FP32 PyTorch, on the same held-out examples.

The evaluation of the reference keeps its logits, every other evaluation compares its own with them. A vocabulary has too many
classes to keep: each position keeps its 64 largest logits, and what all its classes sum up to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.record import FidelityRecord

CLASSES = 64  #: logits that are kept of a position
POSITIONS = 4096  #: kept at most; whole examples, the first ones

_FILE = "reference.npz"
_ROWS_AT_ONCE = 256  # bounds the float64 copy of the logits
_LEAST = 1e-30  # of a probability that is divided by


class Reference:
    """What is kept of the reference's outputs."""

    def __init__(self) -> None:
        self._examples: list[tuple[Array, Array, Array]] = []
        self._positions = 0

    def see(self, logits: Array) -> None:
        """Keep the outputs of the next example: its logits, [..., classes]."""
        if self._positions >= POSITIONS:
            return
        rows = logits.reshape(-1, logits.shape[-1])
        count = min(CLASSES, rows.shape[1])
        ids = np.argpartition(rows, -count, axis=1)[:, -count:]
        kept = np.take_along_axis(rows, ids, axis=1)
        order = np.argsort(-kept, axis=1, kind="stable")
        ids, kept = np.take_along_axis(ids, order, axis=1), np.take_along_axis(kept, order, axis=1)
        self._examples.append((ids.astype(np.int32), kept.astype(np.float32), _normalizers(rows)))
        self._positions += len(rows)

    def save(self, folder: Path) -> None:
        """Write all that was seen."""
        ids, logits, normalizers = (np.concatenate(parts) for parts in zip(*self._examples, strict=True))
        lengths = np.array([len(example[0]) for example in self._examples])
        np.savez(folder / _FILE, ids=ids, logits=logits, normalizers=normalizers, lengths=lengths)


class Deviation:
    """Outputs of a cell against those of the reference."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / _FILE) as kept:
            ends = np.cumsum(kept["lengths"])[:-1]
            parts = [np.split(kept[name], ends) for name in ("ids", "logits", "normalizers")]
        self._reference = list(zip(*parts, strict=True))
        self._seen = self._positions = self._same = 0
        self._divergence = self._difference = 0.0

    def see(self, logits: Array) -> None:
        """Compare the outputs of the next example, [..., classes]; those that the reference did not keep are passed over.

        Raises ValueError where the cell answers for other positions than the reference.
        """
        if self._seen >= len(self._reference):
            return
        ids, kept, normalizers = self._reference[self._seen]
        self._seen += 1
        rows = logits.reshape(-1, logits.shape[-1])
        if len(rows) != len(ids):
            raise ValueError(f"the outputs have {len(rows)} positions, the reference's {len(ids)}")
        ours = np.take_along_axis(rows, ids.astype(np.int64), axis=1).astype(np.float64)
        self._positions += len(rows)
        self._same += int((rows.argmax(axis=1) == ids[:, 0]).sum())
        self._difference = max(self._difference, float(np.abs(ours - kept).max()))
        wanted, got = np.exp(kept - normalizers[:, None]), np.exp(ours - _normalizers(rows)[:, None])
        self._divergence += float(_divergence(wanted, got, whole=ids.shape[1] == rows.shape[1]).sum())

    def record(self) -> FidelityRecord:
        """Shares and means over all positions."""
        return FidelityRecord(
            positions=self._positions,
            top1_agreement=self._same / self._positions,
            kl_divergence=self._divergence / self._positions,
            max_logit_difference=self._difference,
        )


def _divergence(wanted: Array, got: Array, *, whole: bool) -> Array:
    """KL(wanted || got) of each position. Classes that were not kept count as one, which makes it no larger than it is."""
    if not whole:
        wanted, got = (np.column_stack([kept, 1 - kept.sum(axis=1)]) for kept in (wanted, got))
    wanted, got = np.maximum(wanted, _LEAST), np.maximum(got, _LEAST)
    divergence: Array = np.maximum((wanted * np.log(wanted / got)).sum(axis=1), 0.0)
    return divergence


def _normalizers(rows: Array) -> Array:
    """log(sum(exp(logits))) of each row, in float64."""
    parts = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE].astype(np.float64)
        top = part.max(axis=1)
        parts.append(top + np.log(np.exp(part - top[:, None]).sum(axis=1)))
    return np.concatenate(parts)
