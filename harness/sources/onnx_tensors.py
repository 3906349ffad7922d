"""The tensors of an ONNX graph, found in the wire format of protobuf: no library of ONNX is needed where sources are fetched.

Numbers of fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, the wire format that of
https://protobuf.dev/programming-guides/encoding/. Values of tensors are passed over, not read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

#: The messages that may hold tensors: kind -> number of a field -> kind of the message in it.
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
#: Bits of an element, by TensorProto.DataType; strings have none.
_BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    **{15: 128, 21: 4, 22: 4, 23: 4, 25: 2, 26: 2},
}
_DEEPEST = 100  # messages in each other, as protobuf's own readers allow
_LONGEST_LOCATION = 4096
_MOST_EDGES = 64  # of a shape
MOST_FIELDS = 5_000_000  # of all messages; large graphs have some hundred thousand


@dataclass
class GraphTensor:
    """One tensor of a graph; ``external`` holds what it says of its data where that lies in another file."""

    name: str = ""
    shape: list[int] = field(default_factory=list)
    data_type: int = 0
    own_bytes: int = 0  # of its message: the tensor holds at most this much itself
    raw_bytes: int | None = None  # None: it has no raw data
    external: dict[str, str] = field(default_factory=dict)
    is_external: bool = False

    @property
    def bytes(self) -> int | None:
        """How many its shape and its type come to; None for types that have no fixed width."""
        bits = _BITS.get(self.data_type)
        return None if bits is None else -(-prod(self.shape) * bits // 8)


def external_files(file: Path) -> list[str]:
    """The names of the files that a graph keeps weights in, relative to its folder.

    Raises ValueError where the file is no graph, a tensor has a shape that does not fit its data, or data lies outside the
    folder or beyond the end of its file.
    """
    folder, found = file.parent, set()
    for tensor in tensors(file):
        shown = f"the tensor {tensor.name[:60]!r}"
        if not all(0 <= edge < 2**48 for edge in tensor.shape):
            raise ValueError(f"{shown} has an impossible shape")
        if tensor.is_external:
            found.add(_require_external(tensor, folder, shown))
        elif tensor.raw_bytes is not None and tensor.bytes not in (None, tensor.raw_bytes):
            raise ValueError(f"{shown} has another shape than its {tensor.raw_bytes:,} bytes of data")
        elif prod(tensor.shape) > 4 * tensor.own_bytes:  # the smallest elements are packed into a quarter of a byte
            raise ValueError(f"{shown} has a shape of more elements than it holds")
    return sorted(found)


def _require_external(tensor: GraphTensor, folder: Path, shown: str) -> str:
    location = tensor.external.get("location", "")
    parts = location.split("/")
    if not location.isprintable() or "\\" in location or {"", ".."} & set(parts) or len(location) > _LONGEST_LOCATION:
        raise ValueError(f"{shown} lies outside the folder, in {location[:80]!r}")
    name = "/".join(part for part in parts if part != ".")
    data = folder / name
    if not data.is_file() or not data.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{shown} lies in {name[:80]!r}, and that file is not there")
    offset, length = (_count(tensor, key, shown) for key in ("offset", "length"))
    there = data.stat().st_size - (offset or 0)
    wanted = tensor.bytes if length is None else length
    if there < (wanted or 0) or (length is not None and tensor.bytes not in (None, length)):
        raise ValueError(f"{shown} does not fit {name[:80]!r}")
    return name


def _count(tensor: GraphTensor, key: str, shown: str) -> int | None:
    text = tensor.external.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ValueError(f"{shown} has the {key} {text[:20]!r}")
    return int(text)


def tensors(file: Path) -> Iterator[GraphTensor]:
    """Every tensor of a graph, of its subgraphs and functions. Raises ValueError where it is no ONNX graph."""
    if not file.stat().st_size:
        raise ValueError("it is empty")
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        message = _Message(content)
        pending = [("model", 0, len(content), 0)]
        has_graph = False
        while pending:
            kind, begin, end, depth = pending.pop()
            if depth > _DEEPEST:
                raise ValueError("its messages lie too deep in each other")
            if kind == "tensor":
                yield _tensor(message, begin, end)
                continue
            for number, wire, start, stop in message.fields(begin, end):
                child = _CHILDREN[kind].get(number)
                if child and wire == _BYTES:
                    has_graph = has_graph or child == "graph"
                    pending.append((child, start, stop, depth + 1))
        if not has_graph:
            raise ValueError("it holds no graph")


def _tensor(message: _Message, begin: int, end: int) -> GraphTensor:
    found = GraphTensor(own_bytes=end - begin)
    for number, wire, start, stop in message.fields(begin, end):
        match number, wire:  # dims, data_type, name, raw_data, external_data, data_location
            case (1, 0):
                found.shape.append(_signed(message.varint(start, end)[0]))
            case (1, 2):
                while start < stop and len(found.shape) <= _MOST_EDGES:
                    edge, start = message.varint(start, stop)
                    found.shape.append(_signed(edge))
            case (2, 0):
                found.data_type = message.varint(start, end)[0]
            case (8, 2):
                found.name = message.text(start, min(stop, start + 200))
            case (9, 2):
                found.raw_bytes = stop - start
            case (13, 2):
                key, value = _entry(message, start, stop)
                found.external[key] = value
            case (14, 0):
                found.is_external = message.varint(start, end)[0] == 1
        if len(found.shape) > _MOST_EDGES:
            raise ValueError(f"the tensor {found.name[:60]!r} has over {_MOST_EDGES} dimensions")
    return found


def _entry(message: _Message, begin: int, end: int) -> tuple[str, str]:
    """A StringStringEntryProto; more of a text than any location needs is left out."""
    found = {1: "", 2: ""}
    for number, wire, start, stop in message.fields(begin, end):
        if wire == _BYTES:
            found[number] = message.text(start, min(stop, start + _LONGEST_LOCATION + 1))
    return found[1], found[2]


@dataclass
class _Message:
    """The bytes of a message and of those in it; ``left`` is how many more fields are read."""

    content: mmap.mmap
    left: int = MOST_FIELDS

    def fields(self, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, wire type, begin and end of the content of every field of the message between two places."""
        at = begin
        while at < end:
            tag, at = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            start = at
            if wire == _VARINT:
                _, at = self.varint(at, end)
            elif wire == _BYTES:
                length, start = self.varint(at, end)
                at = start + length
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                raise ValueError("it is no protobuf message")
            self.left -= 1
            if at > end or not number:
                raise ValueError("it is no protobuf message, or cut short")
            if self.left < 0:
                raise ValueError(f"it has more than {MOST_FIELDS:,} fields")
            yield number, wire, start, at

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """A number of up to 64 bits, and where what follows begins."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self.content[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & (2**64 - 1), at
            shift += 7
        raise ValueError("it is no protobuf message, or cut short")

    def text(self, begin: int, end: int) -> str:
        """UTF-8; what is not becomes the replacement character, which no name of a file has here."""
        return self.content[begin:end].decode("utf-8", "replace")


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number
