"""``.npz``: NumPy's archive with ``images`` [n, height, width(, channels)], uint8 or float in 0..1, and ``labels`` [n]."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from harness.contracts.artifact import ConversionError


def read(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """One row an image: ``image`` and ``label``."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if not {"images", "labels"} <= set(arrays):
                raise ConversionError(f"{file.name}: expected the arrays images and labels, found {sorted(arrays)}")
            images, labels = arrays["images"], arrays["labels"]
    except (OSError, ValueError, BadZipFile) as error:
        raise ConversionError(f"{file.name}: no archive of arrays: {error}") from None
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise ConversionError(
            f"{file.name}: labels are {labels.dtype} {list(labels.shape)}: expected a number or name each"
        )
    if len(images) != len(labels):
        raise ConversionError(f"{file.name}: {len(images)} images but {len(labels)} labels")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield f"{file.name}, image {number}", {"image": image, "label": label.item()}
