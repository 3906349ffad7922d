"""What a fetched folder is told to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SourceError
from harness.sources.models import describe_model
from tests.checkpoints import write_model


def test_gguf(tmp_path: Path) -> None:
    (tmp_path / "m.Q4_1.gguf").write_bytes(b"GGUF")
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
    for name in ("model.onnx", "model.onnx.data"):
        (tmp_path / name).write_bytes(b"x")
    assert describe_model(tmp_path)["weights"] == ["model.onnx", "model.onnx.data"]


def test_no_model(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(SourceError, match="no known weights"):
        describe_model(tmp_path)


def test_a_file_cut_short(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 12)
    with pytest.raises(SourceError, match="not a safetensors file"):
        describe_model(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a": 1}',
        b'{"a": {"shape": [1]}}',
        b'{"a": {"dtype": "F32", "shape": [-1]}}',
        b'{"a": {"dtype": "F32", "shape": "x"}}',
        b"[" * 100_000,
    ],
)
def test_a_broken_safetensors_header_is_told(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(SourceError, match="not a safetensors file"):
        describe_model(tmp_path)
