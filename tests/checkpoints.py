"""Small checkpoints for tests, written without the libraries that make real ones."""

from __future__ import annotations

import json
import struct
from pathlib import Path


def write_model(folder: Path, tensors: dict[str, tuple[str, list[int]]] | None = None) -> None:
    """A folder as transformers writes it: an empty config and a valid safetensors file of zeros."""
    widths = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    size = 0
    for name, (dtype, shape) in (tensors or {"a": ("F32", [4])}).items():
        elements = 1
        for length in shape:
            elements *= length
        end = size + elements * widths[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [size, end]}
        size = end
    packed = json.dumps(header).encode()
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(packed)) + packed + bytes(size))


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    """A safetensors file with a header as it is given."""
    return len(header).to_bytes(8, "little") + header + data


def gguf(*, keys: int = 0, tensors: int = 0, rest: bytes = b"", version: int = 3) -> bytes:
    """A GGUF file with the counts as they are given, and what follows them."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + rest


def gguf_text(text: str) -> bytes:
    """A string as GGUF has it."""
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_tensor(name: str, shape: list[int], kind: int = 0, offset: int = 0) -> bytes:
    """The description of a tensor; 0 is the type of float32."""
    return gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def onnx_graph(*tensors: bytes) -> bytes:
    """A ModelProto whose graph has initializers."""
    return _part(7, b"".join(_part(5, tensor) for tensor in tensors))


def onnx_tensor(
    shape: list[int], data: bytes | None = None, kind: int = 1, external: dict[str, str] | None = None
) -> bytes:
    """A TensorProto called ``w``; kind 1 is float32."""
    made = b"".join(_number(1, size) for size in shape) + _number(2, kind) + _part(8, b"w")
    made += b"" if data is None else _part(9, data)
    for key, value in (external or {}).items():
        made += _part(13, _part(1, key.encode()) + _part(2, value.encode()))
    return made + (b"" if external is None else _number(14, 1))


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number % 2**64)


def _varint(number: int) -> bytes:
    made = b""
    while number > 127:
        made, number = made + bytes([number & 127 | 128]), number >> 7
    return made + bytes([number])
