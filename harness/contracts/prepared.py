"""Prepared data: what a prepare step writes and what measuring, scoring and training read.

A folder holds flat arrays in ``data.npz`` and the rest in ``data.json``. In a workload, every array is [batches, *shape].
The arrays of examples to score or to train on are up to the task: its ``score.py`` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array, Arrays

#: How many different inputs a workload is given; enough that rotating them defeats caching of one input.
BATCHES = 8
#: The label of a position that no loss counts: what torch's cross-entropy skips.
IGNORED = -100


def save(out: Path, facts: Mapping[str, Any], arrays: Arrays) -> None:
    """Write both files into ``out``."""
    np.savez_compressed(out / "data.npz", allow_pickle=False, **arrays)
    (out / "data.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), "utf-8")


def load(data: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read both files from ``data``."""
    with np.load(data / "data.npz", allow_pickle=False) as arrays:
        return json.loads((data / "data.json").read_text("utf-8")), dict(arrays)


def load_batches(data: Path) -> list[dict[str, Array]]:
    """The inputs of a workload, one dict of arrays per batch."""
    _, arrays = load(data)
    return [{name: stacked[i] for name, stacked in arrays.items()} for i in range(len(next(iter(arrays.values()))))]
