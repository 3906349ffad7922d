"""Ragged items as flat arrays, and windows over a stream of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.task import Misfit


def flatten(items: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Ragged items as (values, offsets): item i is ``values[offsets[i]:offsets[i + 1]]``."""
    offsets = np.cumsum([0, *map(len, items)], dtype=np.int64)
    return np.fromiter((value for item in items for value in item), np.int64, count=int(offsets[-1])), offsets


def unflatten(values: Array, offsets: Array) -> list[Array]:
    """The items that ``flatten`` was given."""
    return np.split(values, offsets[1:-1]) if len(offsets) > 1 else []


def windows(stream: Array, length: int, count: int) -> Array:
    """``count`` different windows [count, length], spread evenly over a token stream.

    Raises Misfit where the stream is too short.
    """
    starts = np.linspace(0, len(stream) - length, count).astype(np.int64)
    if len(stream) < length + count - 1:
        needs = f"needs {length + count - 1} ({count} windows of {length}): ask for a smaller batch or shorter inputs"
        raise Misfit(f"the data set has {len(stream)} tokens, the workload {needs}")
    chosen: Array = stream[starts[:, None] + np.arange(length)]
    return chosen
