"""The header of a GGUF file, held against the file: counts, lengths, shapes and offsets.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
VERSIONS = (2, 3)
#: Elements of a block and its bytes, by the number of a tensor's type (``GGML_TYPE_...``).
BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)},
    **{16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82)},
    **{23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2)},
    **{34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18)},
}
MOST_ENTRIES = 4_000_000  # keys, tensors, and strings in lists: ten times what the largest vocabularies need

_STRING, _ARRAY = 8, 9
_WIDTHS = {
    0: 1,
    1: 1,
    2: 2,
    3: 2,
    4: 4,
    5: 4,
    6: 4,
    7: 1,
    10: 8,
    11: 8,
    12: 8,
}  # bytes, by the number of a value's type
_LONGEST_NAME = 65_535
_ALIGNMENT = b"general.alignment"


def require_sound(file: Path) -> None:
    """Read the header of ``file``, nothing else. Raises ValueError with what is wrong."""
    with file.open("rb") as stream:
        _Header(stream, file.stat().st_size).read()


@dataclass
class _Header:
    stream: BinaryIO
    size: int
    at: int = 0
    entries: int = 0
    alignment: int = 32

    def read(self) -> None:
        if self._take(4) != MAGIC:
            raise ValueError("it does not begin with GGUF")
        (version,) = self._numbers("I")
        if version not in VERSIONS:
            raise ValueError(f"version {version}; known are {' and '.join(map(str, VERSIONS))}")
        tensors, keys = self._numbers("QQ")
        self._count("tensors", tensors, 24)
        self._count("keys", keys, 13)
        for _ in range(keys):
            name = self._name()
            (kind,) = self._numbers("I")
            if name == _ALIGNMENT and kind == 4:
                (self.alignment,) = self._numbers("I")
            else:
                self._skip_value(kind, 0)
        described = [self._tensor() for _ in range(tensors)]
        if not 0 < self.alignment <= 2**20:
            raise ValueError(f"an alignment of {self.alignment}")
        start = -(-self.at // self.alignment) * self.alignment
        for tensor, offset, length in described:
            if offset % self.alignment or start + offset + length > self.size:
                raise ValueError(f"the tensor {tensor[:60]!r} does not lie within the file")

    def _tensor(self) -> tuple[str, int, int]:
        name = self._name().decode("utf-8")
        (dimensions,) = self._numbers("I")
        if dimensions > 8:
            raise ValueError(f"the tensor {name[:60]!r} has {dimensions:,} dimensions")
        shape = self._numbers("Q" * dimensions)
        kind, offset = self._numbers("IQ")
        elements, width = BLOCKS.get(kind, (1, 0))  # of a type that came later its begin is looked at
        length = -(-prod(shape) // elements) * width
        if max(shape, default=0) >= 2**48 or length > self.size:
            raise ValueError(f"the tensor {name[:60]!r} has an impossible shape")
        return name, offset, length

    def _skip_value(self, kind: int, depth: int) -> None:
        if kind in _WIDTHS:
            self._skip(_WIDTHS[kind])
        elif kind == _STRING:
            self._skip(*self._numbers("Q"))
        elif kind == _ARRAY and depth < 4:
            inner, length = self._numbers("IQ")
            if inner in _WIDTHS:
                self._skip(length * _WIDTHS[inner])
                return
            self._count("values in a list", length, 8)
            for _ in range(length):
                self._skip_value(inner, depth + 1)
        else:
            raise ValueError(f"a value of type {kind}" if kind != _ARRAY else "lists in lists in lists")

    def _count(self, what: str, number: int, least: int) -> None:
        """Refuse a count that the rest of the file has no room for, at so many bytes each."""
        self.entries += number
        if number * least > self.size - self.at or self.entries > MOST_ENTRIES:
            raise ValueError(f"{number:,} {what} in a file of {self.size:,} bytes")

    def _name(self) -> bytes:
        (length,) = self._numbers("Q")
        if length > _LONGEST_NAME:
            raise ValueError(f"a name of {length:,} bytes")
        return self._take(length)

    def _numbers(self, code: str) -> tuple[int, ...]:
        return struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))

    def _take(self, length: int) -> bytes:
        self._require(length)
        return self.stream.read(length)

    def _skip(self, length: int) -> None:
        self._require(length)
        self.stream.seek(self.at)

    def _require(self, length: int) -> None:
        self.at += length
        if self.at > self.size:
            raise ValueError("it ends within its header")
