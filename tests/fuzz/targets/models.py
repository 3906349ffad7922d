"""Files of models: the headers of safetensors and GGUF files, ONNX graphs with data beside them, and wheels that ship them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

from harness.errors import SourceError
from harness.matrix.source import parse
from harness.sources import fetch, file_safety
from harness.sources.models import describe_model
from tests.checkpoints import gguf, gguf_tensor, gguf_text, onnx_graph, onnx_tensor, safetensors
from tests.fuzz.mutations import mutated
from tests.fuzz.target import Target

NUMBERS = tuple(struct.pack("<Q", number) for number in (0, 1, 2**16, 2**31, 2**32, 2**48, 2**63, 2**64 - 1))
SMALL = tuple(struct.pack("<I", number) for number in (0, 1, 8, 9, 2**31, 2**32 - 1))

HEADER = json.dumps(
    {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]},
    }
).encode()
SAFETENSORS = safetensors(HEADER, bytes(24))
WORDS = (
    b"[]",
    b"{}",
    b"null",
    b"true",
    b"-1",
    b"1.5",
    b'""',
    b"[" * 2000,
    b'{"a":' * 2000,
    b'"F4"',
    b'"dtype"',
    b"NaN",
)

TEXTS = gguf_text("tokens") + struct.pack("<IIQ", 9, 8, 3) + b"".join(gguf_text(text) for text in "abc")
ALIGNMENT = gguf_text("general.alignment") + struct.pack("<II", 4, 32)
SCORES = gguf_text("scores") + struct.pack("<IIQ3f", 9, 6, 3, 0.0, 1.0, 2.0)
TENSORS = gguf_tensor("w", [4]) + gguf_tensor("q", [32], kind=2, offset=32)
GGUF = gguf(keys=3, tensors=2, rest=TEXTS + ALIGNMENT + SCORES + TENSORS + bytes(128))

EXTERNAL = {"location": "data", "offset": "0", "length": "8"}
ONNX = onnx_graph(onnx_tensor([2], bytes(8)), onnx_tensor([2], external=EXTERNAL))
PATHS = (
    b"../secret",
    b"/etc/passwd",
    b"./data",
    b"data/",
    b"link",
    b"\\\\",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
)


def read_model(name: str, data: bytes, folder: Path) -> None:
    """Describe a model of one file; ``data`` and ``link`` lie beside it, a secret outside."""
    (folder / "secret").write_bytes(bytes(8))
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "data").write_bytes(bytes(8))
    (model / "link").symlink_to("../secret")
    (model / name).write_bytes(data)
    found = describe_model(model)
    assert all((model / weights).resolve().is_relative_to(model.resolve()) for weights in found["weights"])


def zipped() -> bytes:
    """A wheel with two files, one of them packed."""
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(zipfile.ZipInfo("toy/model.gguf"), gguf())
            archive.writestr(zipfile.ZipInfo("toy/a/b.txt"), b"text " * 100, zipfile.ZIP_DEFLATED)
        return stream.getvalue()


def read_wheel(data: bytes, folder: Path) -> None:
    """Fetch from a wheel that lies in the cache; nothing may come to lie elsewhere than in the folder that is meant."""
    kept = folder / "cache" / "packages" / "toy==1.0"
    kept.mkdir(parents=True)
    wheel = kept / "toy-1.0-py3-none-any.whl"
    wheel.write_bytes(data)
    wheel.with_name(f"{wheel.name}.sha256").write_text(file_safety.file_hash(wheel))
    out = folder / "out"
    try:
        fetch(parse("pypi:toy==1.0/toy"), out, base=folder, cache=folder / "cache", most=2**20, say=lambda line: None)
    finally:
        assert {path.name for path in folder.iterdir()} <= {"cache", "out"}
        assert not [path for path in out.rglob("*") if path.is_symlink()]
        assert sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) <= 2**20


WHEEL = zipped()
ZIP_PIECES = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"../", b"/", b"toy/", *SMALL, *NUMBERS)

TARGETS = (
    Target(
        "safetensors",
        (SAFETENSORS,),
        mutated((SAFETENSORS,), (*NUMBERS, *WORDS)),
        lambda data, folder: read_model("model.safetensors", data, folder),
        (SourceError,),
    ),
    Target(
        "gguf",
        (GGUF,),
        mutated((GGUF,), (*NUMBERS, *SMALL)),
        lambda data, folder: read_model("model.gguf", data, folder),
        (SourceError,),
    ),
    Target(
        "onnx",
        (ONNX,),
        mutated((ONNX,), PATHS),
        lambda data, folder: read_model("model.onnx", data, folder),
        (SourceError,),
    ),
    Target("wheel", (WHEEL,), mutated((WHEEL,), ZIP_PIECES), read_wheel, (SourceError,)),
)
