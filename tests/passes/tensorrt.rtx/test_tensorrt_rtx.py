"""TensorRT-RTX engines, built for real where no GPU is: their precision, their profile, and what cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx_bytes
import pytest

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/tensorrt")]

from exporters import tensorrt_rtx  # noqa: E402

WIDTH = 256
SHAPE: list[int | str] = ["batch", 1, "height", "width"]


def graph(folder: Path, precision: str = "fp32", rectifier: str = "Relu") -> Artifact:
    """Two convolutions and a matrix, all in one precision."""
    kind, number = {"fp32": (np.float32, onnx_bytes.FLOAT), "fp16": (np.float16, onnx_bytes.FLOAT16)}[precision]
    draw = np.random.default_rng(0)
    shapes = {"first": (32, 1, 3, 3), "second": (WIDTH, 32, 3, 3), "matrix": (4, WIDTH)}
    weights = {name: (draw.standard_normal(shape) / 8).astype(kind) for name, shape in shapes.items()}
    nodes = [
        onnx_bytes.node("Conv", ["pixel_values", "first"], "a", strides=[2, 2], pads=[1] * 4),
        onnx_bytes.node(rectifier, ["a"], "b"),
        onnx_bytes.node("Conv", ["b", "second"], "c", strides=[2, 2], pads=[1] * 4),
        onnx_bytes.node("GlobalAveragePool", ["c"], "d"),
        onnx_bytes.node("Flatten", ["d"], "e"),
        onnx_bytes.node("Gemm", ["e", "matrix"], "logits", transB=1),
    ]
    taken, given = (
        onnx_bytes.value(name, number, shape) for name, shape in (("pixel_values", SHAPE), ("logits", ["batch", 4]))
    )
    folder.mkdir()
    (folder / "model.onnx").write_bytes(onnx_bytes.model(nodes, weights, taken, given))
    return tiny.artifact(folder, f"onnx/{precision}", tiny.IMAGES, ["model.onnx"])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_computes_in_the_precision_of_its_graph(precision: str, steps: Steps, tmp_path: Path) -> None:
    made, effect = steps.export(tensorrt_rtx, graph(tmp_path / "source", precision))
    assert str(made.form) == f"tensorrt-rtx/{precision}"
    assert effect["matrix_products"] == {precision: 3}
    assert made.manifest.extra["arithmetic"] == precision


def test_an_engine_in_16_bits_is_smaller(steps: Steps, tmp_path: Path) -> None:
    sizes = [
        steps.export(tensorrt_rtx, graph(tmp_path / precision, precision))[0].weights[0].stat().st_size
        for precision in ("fp32", "fp16")
    ]
    assert sizes[1] < sizes[0]


def test_batch_and_image_size_are_open(steps: Steps, tmp_path: Path) -> None:
    _, effect = steps.export(tensorrt_rtx, graph(tmp_path / "source"))
    assert effect["profile"] == {"pixel_values": ["1x1x32x32", "1x1x224x224", "32x1x512x512"]}


def test_operators_that_cannot_be_read_are_named(steps: Steps, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"TensorRT-RTX cannot read the operators Unheard \(1\)"):
        steps.export(tensorrt_rtx, graph(tmp_path / "source", rectifier="Unheard"))


def test_a_file_that_is_no_graph_is_an_error(steps: Steps, tmp_path: Path) -> None:
    source = graph(tmp_path / "source")
    (source.path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ConversionError, match="TensorRT-RTX cannot read the graph"):
        steps.export(tensorrt_rtx, source)


def test_a_graph_in_dynamic_int8_is_refused(steps: Steps, tmp_path: Path) -> None:
    refused = tiny.relabelled(graph(tmp_path / "source"), precision="int8")
    with pytest.raises(ConversionError, match="takes onnx/fp32, onnx/fp16, onnx/int8-qdq, not onnx/int8"):
        steps.export(tensorrt_rtx, refused)
