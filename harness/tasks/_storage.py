"""How prepared data is kept: flat arrays in ``data.npz`` (offsets mark ragged items), the rest in ``data.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.tasks import Array, Misfit

#: How many different inputs a workload is given; enough that rotating them defeats caching of one input.
BATCHES = 8


def save(out: Path, facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write both files into ``out``."""
    np.savez_compressed(out / "data.npz", allow_pickle=False, **arrays)
    (out / "data.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), "utf-8")


def load(data: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read both files from ``data``."""
    with np.load(data / "data.npz", allow_pickle=False) as arrays:
        return json.loads((data / "data.json").read_text("utf-8")), dict(arrays)


def load_batches(data: Path) -> list[dict[str, Array]]:
    """The inputs of a workload: arrays of shape [batches, *shape] become one dict per batch."""
    _, arrays = load(data)
    return [{name: stacked[i] for name, stacked in arrays.items()} for i in range(len(next(iter(arrays.values()))))]


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
