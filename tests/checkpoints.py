"""Small checkpoints for tests, written without the libraries that make real ones."""

from __future__ import annotations

import json
import struct
from pathlib import Path


def write_model(folder: Path, tensors: dict[str, tuple[str, list[int]]] | None = None) -> None:
    """A folder as transformers writes it: an empty config and a valid safetensors file of zeros."""
    widths = {"F32": 4, "F16": 2, "BF16": 2}
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
