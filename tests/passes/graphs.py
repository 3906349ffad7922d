"""A small convolutional ONNX graph, for toolchains that have onnx and no PyTorch model to export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Artifact
from tests.passes import tiny


def images(folder: Path) -> Artifact:
    """Two convolutions with a ReLU between them, and a Gemm whose matrix is transposed.

    The largest of all places is taken, not their mean, so that answers to different images differ enough to be compared.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def weight(*shape: int) -> Any:
        return (np.random.default_rng(sum(shape)).standard_normal(shape) / 4).astype(np.float32)

    weights = {"first": weight(32, 1, 3, 3), "second": weight(32, 32, 3, 3), "matrix": weight(4, 32), "bias": weight(4)}
    nodes = [
        helper.make_node("Conv", ["pixel_values", "first"], ["a"], "first", strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "second"], ["c"], "second", strides=[2, 2], pads=[1] * 4),
        helper.make_node("GlobalMaxPool", ["c"], ["d"], "pool"),
        helper.make_node("Flatten", ["d"], ["e"], "flatten"),
        helper.make_node("Gemm", ["e", "matrix", "bias"], ["logits"], "head", transB=1),
    ]
    shape = ["batch", 1, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    return tiny.artifact(folder, "onnx", tiny.IMAGES, ["model.onnx"])
