"""What a fetched folder is told to hold."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from harness.errors import SourceError
from harness.sources.models import describe_model
from tests.checkpoints import gguf, gguf_tensor, gguf_text, onnx_graph, onnx_tensor, safetensors, write_model


def test_gguf(tmp_path: Path) -> None:
    (tmp_path / "m.Q4_1.gguf").write_bytes(gguf(tensors=1, rest=gguf_tensor("w", [4]) + bytes(64)))
    assert describe_model(tmp_path) == {"format": "gguf", "precision": "mixed", "weights": ["m.Q4_1.gguf"]}


@pytest.mark.parametrize(("dtype", "precision"), [("F32", "fp32"), ("F16", "fp16"), ("BF16", "bf16")])
def test_safetensors_tell_their_precision(tmp_path: Path, dtype: str, precision: str) -> None:
    write_model(tmp_path, {"a": (dtype, [4])})
    described = describe_model(tmp_path)
    assert described == {"format": "hf", "precision": precision, "weights": ["model.safetensors"]}


def test_a_mixed_model_has_the_precision_of_most_elements(tmp_path: Path) -> None:
    write_model(tmp_path, {"norm.1": ("F32", [4]), "norm.2": ("F32", [4]), "linear": ("BF16", [8, 8])})
    assert describe_model(tmp_path)["precision"] == "bf16"


def test_onnx_counts_its_external_data(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_graph(onnx_tensor([2], external={"location": "weights"})))
    (tmp_path / "weights").write_bytes(bytes(8))
    assert describe_model(tmp_path)["weights"] == ["model.onnx", "weights"]


def test_no_model(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(SourceError, match="no known weights"):
        describe_model(tmp_path)


def test_a_file_cut_short(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 12)
    with pytest.raises(SourceError, match="not a safetensors file"):
        describe_model(tmp_path)


def entry(**changes: object) -> bytes:
    described = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    return json.dumps({"w": {key: value for key, value in described.items() if value is not None}}).encode()


#: What is wrong with a safetensors file of eight bytes of data -> the file.
SAFETENSORS = {
    "empty": b"",
    "a list": safetensors(b"[]", bytes(8)),
    "a number": safetensors(b"17", bytes(8)),
    "a tensor that is a number": safetensors(b'{"w": 1}', bytes(8)),
    "no dtype": safetensors(entry(dtype=None), bytes(8)),
    "a dtype that is none": safetensors(entry(dtype="<script>"), bytes(8)),
    "a dtype that is a number": safetensors(entry(dtype=32), bytes(8)),
    "no shape": safetensors(entry(shape=None), bytes(8)),
    "a shape that is a word": safetensors(entry(shape="2"), bytes(8)),
    "a negative shape": safetensors(entry(shape=[-2]), bytes(8)),
    "a shape of truth": safetensors(entry(shape=[True, 2]), bytes(8)),
    "an endless shape": safetensors(entry(shape=[2**40] * 32), bytes(8)),
    "a shape of fractions": safetensors(entry(shape=[2.0]), bytes(8)),
    "no offsets": safetensors(entry(data_offsets=None), bytes(8)),
    "one offset": safetensors(entry(data_offsets=[8]), bytes(8)),
    "offsets beyond the end": safetensors(entry(data_offsets=[8, 16]), bytes(8)),
    "offsets the wrong way round": safetensors(entry(data_offsets=[8, 0]), bytes(8)),
    "data without a tensor": safetensors(b"{}", bytes(8)),
    "cut short": safetensors(entry(), bytes(7)),
    "a header longer than the file": (2**40).to_bytes(8, "little") + entry(),
    "the longest header": b"\xff" * 16,
    "a header that nests": safetensors(b"[" * 100_000),
    "a header with an endless number": safetensors(b'{"w": ' + b"9" * 10_000 + b"}"),
    "a header in UTF-16": safetensors(entry().decode().encode("utf-16"), bytes(8)),
    "a name twice": safetensors(b'{"w": 1, "w": 1}', bytes(8)),
    "tensors that overlap": safetensors(
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},'
        b' "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        bytes(8),
    ),
}
GGUF = {
    "empty": b"",
    "another format": b"GGML" + bytes(60),
    "cut short": gguf()[:10],
    "another version": gguf(version=1),
    "another byte order": gguf(version=3 << 24),
    "endless tensors": gguf(tensors=2**63, rest=bytes(100)),
    "endless keys": gguf(keys=2**63, rest=bytes(100)),
    "more tensors than there is room for": gguf(tensors=100, rest=bytes(100)),
    "an endless name": gguf(keys=1, rest=struct.pack("<Q", 2**62) + bytes(100)),
    "an endless text": gguf(keys=1, rest=gguf_text("k") + struct.pack("<IQ", 8, 2**62) + bytes(100)),
    "an endless list": gguf(keys=1, rest=gguf_text("k") + struct.pack("<IIQ", 9, 4, 2**62) + bytes(100)),
    "an endless list of texts": gguf(keys=1, rest=gguf_text("k") + struct.pack("<IIQ", 9, 8, 2**62) + bytes(100)),
    "lists in lists": gguf(keys=1, rest=gguf_text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 1000),
    "a value of no type": gguf(keys=1, rest=gguf_text("k") + struct.pack("<I", 99) + bytes(100)),
    "a tensor of many dimensions": gguf(tensors=1, rest=gguf_tensor("w", [1] * 100) + bytes(100)),
    "a tensor beyond the end": gguf(tensors=1, rest=gguf_tensor("w", [4], offset=2**40) + bytes(100)),
    "an endless tensor": gguf(tensors=1, rest=gguf_tensor("w", [2**63, 2**63]) + bytes(100)),
    "a tensor longer than the file": gguf(tensors=1, rest=gguf_tensor("w", [400]) + bytes(100)),
    "a name that is no text": gguf(tensors=1, rest=gguf_tensor("w", [4]).replace(b"w", b"\xff") + bytes(100)),
    "no alignment": gguf(keys=1, rest=gguf_text("general.alignment") + struct.pack("<II", 4, 0)),
}
ONNX = {
    "empty": b"",
    "text": b"not a graph at all",
    "no graph": b"\x08\x08",
    "cut short": onnx_graph(onnx_tensor([2], bytes(8)))[:-3],
    "data elsewhere": onnx_graph(onnx_tensor([2], external={"location": "../secret"})),
    "data at an absolute path": onnx_graph(onnx_tensor([2], external={"location": "/etc/passwd"})),
    "data at another system's path": onnx_graph(onnx_tensor([2], external={"location": "..\\secret"})),
    "data nowhere": onnx_graph(onnx_tensor([2], external={})),
    "data that is not there": onnx_graph(onnx_tensor([2], external={"location": "gone"})),
    "data behind a link": onnx_graph(onnx_tensor([2], external={"location": "link"})),
    "data in a folder": onnx_graph(onnx_tensor([2], external={"location": "."})),
    "data in a name with a NUL": onnx_graph(onnx_tensor([2], external={"location": "data\0"})),
    "data beyond the end": onnx_graph(onnx_tensor([2], external={"location": "data", "offset": "4"})),
    "data before the beginning": onnx_graph(onnx_tensor([2], external={"location": "data", "offset": "-4"})),
    "an endless offset": onnx_graph(onnx_tensor([2], external={"location": "data", "offset": "9" * 5000})),
    "a length beyond the end": onnx_graph(onnx_tensor([2], external={"location": "data", "length": "9"})),
    "a length of another shape": onnx_graph(onnx_tensor([2], external={"location": "data", "length": "4"})),
    "a negative shape": onnx_graph(onnx_tensor([-2], bytes(8))),
    "an endless shape": onnx_graph(onnx_tensor([2**40] * 60, bytes(8))),
    "an endless shape without data": onnx_graph(onnx_tensor([2**20, 2**20])),
    "a shape of another size": onnx_graph(onnx_tensor([3], bytes(8))),
    "many dimensions": onnx_graph(onnx_tensor([1] * 1000, bytes(4))),
    "a shape in a node": b"\x3a\x10\x0a\x0e\x2a\x0c\x2a\x0a" + onnx_tensor([2**20, 2**40])[:10],
}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (name, wrong)
        for name, files in {"safetensors": SAFETENSORS, "gguf": GGUF, "onnx": ONNX}.items()
        for wrong in files
    ],
)
def test_a_broken_model_is_one_line_that_names_its_file(name: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(8))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "data").write_bytes(bytes(8))
    (folder / "link").symlink_to("../secret")
    (folder / "config.json").write_text("{}")
    (folder / f"model.{name}").write_bytes({"safetensors": SAFETENSORS, "gguf": GGUF, "onnx": ONNX}[name][wrong])
    with pytest.raises(SourceError) as caught:
        describe_model(folder)
    assert caught.value.problem.startswith(f"model.{name}: not a ")
    assert len(caught.value.problem) < 250
    assert caught.value.problem.isprintable()


@pytest.mark.parametrize("shard", ["gone.safetensors", "../secret.safetensors", "data", 1, None])
def test_an_index_that_names_what_is_not_there_is_told(shard: object, tmp_path: Path) -> None:
    write_model(tmp_path)
    index = {"weight_map": {"w": shard, "v": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert describe_model(tmp_path)["weights"] == ["model.safetensors"]  # which transformers loads without the index
    (tmp_path / "model.safetensors").rename(tmp_path / "model-1.safetensors")
    with pytest.raises(SourceError, match=r"model\.safetensors\.index\.json lists"):
        describe_model(tmp_path)


def test_only_what_is_loaded_counts_as_weights(tmp_path: Path) -> None:
    write_model(tmp_path)
    for name in ("consolidated.safetensors", "training_args.bin", "pytorch_model.bin", "model.gguf"):
        (tmp_path / name).write_bytes(b"not looked at")
    assert describe_model(tmp_path)["weights"] == ["model.safetensors"]


def test_the_parts_of_a_split_gguf_are_one_model_and_two_models_are_not(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(
            gguf(tensors=1, rest=gguf_tensor("w", [4]) + bytes(64))
        )
    assert len(describe_model(tmp_path)["weights"]) == 2
    (tmp_path / "other.gguf").write_bytes(gguf(tensors=1, rest=gguf_tensor("w", [4]) + bytes(64)))
    with pytest.raises(SourceError, match="holds 2 GGUF models") as told:
        describe_model(tmp_path)
    assert told.value.cure == "name one: `file: m-00001-of-00002.gguf`"
    (tmp_path / "other.gguf").unlink()
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(SourceError, match="1 of the 2 parts"):
        describe_model(tmp_path)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["tf_model.h5", "config.json"], "TensorFlow alone"),
        (["weights.safetensors", "config.json"], "the weights are called weights.safetensors"),
        (["model.safetensors"], "config.json is missing"),
        (["config.json"], "but no weights"),
        (["readme.md"], "no known weights among readme.md"),
    ],
)
def test_what_is_no_model_says_why(tmp_path: Path, files: list[str], told: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(SourceError, match=told):
        describe_model(tmp_path)


def test_a_large_header_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write((90_000_000).to_bytes(8, "little"))
        file.truncate(100_000_000)  # sparse
    with pytest.raises(SourceError, match="25,000,000 are read"):
        describe_model(tmp_path)
