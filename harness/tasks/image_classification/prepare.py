"""Images, scaled and normalized as the model's own configuration says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.contracts import prepared
from harness.contracts.adapter import Array
from harness.contracts.task import Misfit, Row
from harness.tasks import _images
from harness.tasks._labels import labels_of, numbers_of


def problem(row: Row) -> str | None:
    """What is wrong with a row, or None."""
    if not isinstance(row["image"], np.ndarray):
        return f"image: expected pixels, got {row['image']!r:.60}"
    label = row["label"]
    return None if isinstance(label, (int, np.integer)) and label >= 0 else f"label: {label!r:.60} is no class"


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    """Write the rows' ``image`` and ``label`` (the model's class id)."""
    labels = numbers_of([row["label"] for row in rows], labels_of(model))
    values = _images.pixels([row["image"] for row in rows], model)
    arrays: dict[str, Array] = {"pixel_values": values, "labels": np.array(labels, dtype=np.int64)}
    prepared.save(out, {"image_size": values.shape[-1]}, arrays)


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    """Write ``pixel_values`` [batch, channels, image_size, image_size]."""
    batch, size = workload["batch"], workload["image_size"]
    count = prepared.BATCHES * batch
    if len(rows) < count:
        needs = f"needs {count} ({prepared.BATCHES} inputs of batch {batch})"
        raise Misfit(f"the data set has {len(rows)} images, the workload {needs}: ask for a smaller batch")
    values = _images.pixels([row["image"] for row in rows[:count]], model, size)
    arrays = {"pixel_values": values.reshape(prepared.BATCHES, batch, *values.shape[1:])}
    prepared.save(out, {"workload": dict(workload)}, arrays)
