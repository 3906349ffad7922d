"""The header of a safetensors file, held against what the format says and against the file.

The format: 8 bytes of little-endian length, that much JSON, then the tensors, one after the other without a gap.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

#: Bits of an element, by its type as the format writes it.
BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
}
MOST_BYTES = 25_000_000  # of a header: a hundred times what large models need, and still little memory


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as a header describes it; ``begin`` and ``end`` are bytes after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def read(file: Path) -> list[StoredTensor]:
    """The tensors in the order in which they lie. Raises ValueError with what is wrong; reads the header only."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size - 8:
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        if length > MOST_BYTES:
            raise ValueError(f"a header of {length:,} bytes; {MOST_BYTES:,} are read")
        text = stream.read(length).decode("utf-8")
    header = json.loads(text, object_pairs_hook=_without_twins)
    if not isinstance(header, dict):
        raise ValueError("its header is no mapping")
    tensors = [_tensor(name, described) for name, described in header.items() if name != "__metadata__"]
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.end))
    _require_gapless(tensors, size - 8 - length)
    return tensors


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header names something twice")
    return found


def _tensor(name: str, described: Any) -> StoredTensor:
    shown = f"{name[:60]!r}"
    if not isinstance(described, dict):
        raise ValueError(f"{shown} is no mapping")
    dtype, shape, offsets = (described.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not isinstance(shape, list):
        raise ValueError(f"{shown} has no dtype and shape")
    if dtype not in BITS:
        raise ValueError(f"{shown} has the unknown dtype {dtype[:20]!r}")
    if len(shape) > 32 or not all(_is_count(edge) for edge in shape):
        raise ValueError(f"{shown} has an impossible shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_count(offset) for offset in offsets):
        raise ValueError(f"{shown} has no data_offsets")
    found = StoredTensor(name, dtype, tuple(shape), *offsets)
    if -(-found.elements * BITS[dtype] // 8) != found.end - found.begin:
        raise ValueError(f"{shown} has a shape of other bytes than its data_offsets")
    return found


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**48


def _require_gapless(tensors: Sequence[StoredTensor], size: int) -> None:
    end = 0
    for tensor in tensors:
        if tensor.begin != end:
            raise ValueError(f"{tensor.name[:60]!r} {'overlaps another' if tensor.begin < end else 'follows a gap'}")
        end = tensor.end
    if end != size:
        raise ValueError(f"its tensors end at byte {end:,}, and {size:,} follow the header")
