"""Images as they are, without a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.contracts import prepared
from harness.contracts.task import Row


def _pixels(rows: Sequence[Row]) -> np.ndarray:
    return np.stack([row["image"] for row in rows])[:, None].astype(np.float32) / 255


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    arrays = {"pixel_values": _pixels(rows), "labels": np.array([row["label"] for row in rows], np.int64)}
    prepared.save(out, {"image_size": 8}, arrays)


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    batch = workload["batch"]
    values = _pixels(rows[: prepared.BATCHES * batch])
    prepared.save(
        out, {"workload": dict(workload)}, {"pixel_values": values.reshape(prepared.BATCHES, batch, *values.shape[1:])}
    )
