"""``.npz``: NumPy's archive with ``images`` [n, height, width(, channels)], uint8 or float in 0..1, and ``labels`` [n]."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from harness.contracts.artifact import ConversionError
from harness.datasets._text import listed

MOST_BYTES = 2**32  # of an array when unpacked
#: What zipfile and NumPy raise of a file that is broken; a header is Python's syntax, and its errors are those of Python.
_OF_ZIP = (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_BROKEN = (OSError, ValueError, OverflowError, TokenError, SyntaxError, *_OF_ZIP)


def read(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """One row an image: ``image`` and ``label``."""
    try:
        with ZipFile(file) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
            if not {"images", "labels"} <= there:
                found = listed(sorted(there)) or "none"
                raise ConversionError(f"{file.name}: expected the arrays images and labels, found {found}")
            images, labels = (_array(archive, name) for name in ("images", "labels"))
    except _BROKEN as error:
        raise ConversionError(
            f"{file.name}: no archive of arrays: {str(error)[:100] or type(error).__name__}"
        ) from None
    if images.ndim not in (3, 4) or 0 in images.shape[1:] or images.dtype.kind not in "uifb":
        shape = f"{images.dtype} {list(images.shape)}"
        raise ConversionError(f"{file.name}: images have to be numbers [n, height, width(, channels)], not {shape}")
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise ConversionError(
            f"{file.name}: labels have to be whole numbers or names [n], not {labels.dtype} {list(labels.shape)}"
        )
    if len(images) != len(labels):
        raise ConversionError(f"{file.name}: {len(images)} images but {len(labels)} labels")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = f"{file.name}, image {number}"
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise ConversionError(f"{place}: holds a value that is no number, or infinite")
        yield place, {"image": image, "label": label.item()}


def _array(archive: ZipFile, name: str) -> npt.NDArray[Any]:
    """An array, after its header was held against what is there. Raises ValueError."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has version {version[0]}.{version[1]} of the format")
        old = version == (1, 0)
        header = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects (a pickle), which are not read")
        size = prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or size != entry.file_size - stream.tell():
            raise ValueError(f"{name} has another shape than its {entry.file_size:,} bytes")
        if size > MOST_BYTES:
            raise ValueError(f"{name} has {size:,} bytes; {MOST_BYTES:,} are read")
    with archive.open(entry) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
