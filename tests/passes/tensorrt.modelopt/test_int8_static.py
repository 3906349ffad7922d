"""Model Optimizer's static INT8: explicit integers in the graph, which ONNX Runtime computes nearly the same with."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from harness.contracts.artifact import ConversionError
from tests.passes import graphs, tiny
from tests.passes.runtimes import answer, drift
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/tensorrt")]

from passes import int8_static  # noqa: E402


@pytest.mark.parametrize("calibration", ["entropy", "max"])
def test_weights_are_stored_in_int8_and_answers_are_near(calibration: str, steps: Steps, tmp_path: Path) -> None:
    source = graphs.images(tmp_path / "source")
    made, effect = steps.apply(int8_static, source, examples=16, calibration=calibration)
    graph = onnx.load(made.path / "model.onnx").graph
    stored = [each for each in graph.initializer if each.data_type == TensorProto.INT8 and len(each.dims) > 1]
    assert str(made.form) == "onnx/int8-qdq"
    assert effect["examples"] == 16
    assert effect["tensors_quantized"] == len(stored) > 0
    assert effect["activations_quantized"] == sum(node.op_type == "QuantizeLinear" for node in graph.node) > 0
    before = sum(np.prod(each.dims) for each in onnx.load(source.path / "model.onnx").graph.initializer)
    share = sum(np.prod(each.dims) for each in stored) / before
    assert effect["share_of_weights_quantized"] == pytest.approx(share, abs=1e-4)
    inputs = tiny.inputs(tiny.IMAGES)
    assert 0 < drift(*(answer(each, "onnxruntime", inputs)[0] for each in (source, made))) < 0.2


def test_a_quantized_graph_is_not_quantized_again(steps: Steps, tmp_path: Path) -> None:
    made, _ = steps.apply(int8_static, graphs.images(tmp_path / "source"))
    with pytest.raises(ConversionError, match="int8-static takes onnx/fp32, not onnx/int8-qdq"):
        steps.apply(int8_static, made)
