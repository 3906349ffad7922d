"""ONNX graphs written by hand, in the wire format of protobuf: this toolchain has no onnx.

Numbers of fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FLOAT, FLOAT16 = 1, 10  # of TensorProto.DataType
INT, INTS = 2, 7  # of AttributeProto.AttributeType


def model(nodes: list[bytes], weights: dict[str, npt.NDArray[np.floating]], taken: bytes, given: bytes) -> bytes:
    """A ModelProto with one input and one output."""
    graph = b"".join(_part(1, node) for node in nodes) + _part(2, b"tiny")
    graph += b"".join(_part(5, _tensor(name, values)) for name, values in weights.items())
    graph += _part(11, taken) + _part(12, given)
    return _number(1, 9) + _part(7, graph) + _part(8, _part(1, b"") + _number(2, 19))


def node(kind: str, inputs: list[str], output: str, **attributes: int | list[int]) -> bytes:
    """A NodeProto of one output."""
    made = b"".join(_part(1, name.encode()) for name in inputs)
    made += _part(2, output.encode()) + _part(3, output.encode()) + _part(4, kind.encode())
    for name, value in attributes.items():
        several = isinstance(value, list)
        numbers = b"".join(_number(8, each) for each in value) if isinstance(value, list) else _number(3, value)
        made += _part(5, _part(1, name.encode()) + numbers + _number(20, INTS if several else INT))
    return made


def value(name: str, kind: int, shape: list[int | str]) -> bytes:
    """A ValueInfoProto; a dimension that is a word is dynamic."""
    sizes = (_part(2, size.encode()) if isinstance(size, str) else _number(1, size) for size in shape)
    dimensions = b"".join(_part(1, size) for size in sizes)
    return _part(1, name.encode()) + _part(2, _part(1, _number(1, kind) + _part(2, dimensions)))


def _tensor(name: str, values: npt.NDArray[np.floating]) -> bytes:
    kind = FLOAT16 if values.dtype == np.float16 else FLOAT
    sizes = b"".join(_number(1, size) for size in values.shape)
    return sizes + _number(2, kind) + _part(8, name.encode()) + _part(9, values.tobytes())


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _varint(number: int) -> bytes:
    made = b""
    while number > 127:
        made, number = made + bytes([number & 127 | 128]), number >> 7
    return made + bytes([number])
