"""The passes on ONNX graphs: what the written graph holds, and that ONNX Runtime computes nearly the same with it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.contracts import prepared
from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import answer, drift
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/onnxruntime")]

from passes import fp16, int8_dynamic, int8_static  # noqa: E402

WIDTH, CLASSES = 32, 4


def weight(*shape: int) -> Any:
    return (np.random.default_rng(sum(shape)).standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


def write(folder: Path, task: str, nodes: list[Any], weights: dict[str, Any], pixels: bool) -> Artifact:
    folder.mkdir()
    taken = ("pixel_values", TensorProto.FLOAT, ["b", 1, tiny.EDGE, tiny.EDGE])
    taken = taken if pixels else ("input_ids", TensorProto.INT64, ["b", "n"])
    shape = ["b", CLASSES] if pixels else ["b", "n", None]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*taken)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "model.onnx"
    )
    return tiny.artifact(folder, "onnx", task, ["model.onnx"])


@pytest.fixture
def text(tmp_path: Path) -> Artifact:
    """An embedding, two products in a row, and a head that is tied to the embedding by the same matrix."""
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["embedded"], "embed"),
        helper.make_node("MatMul", ["embedded", "up"], ["wide"], "up"),
        helper.make_node("Tanh", ["wide"], ["bent"], "bend"),
        helper.make_node("MatMul", ["bent", "down"], ["narrow"], "down"),
        helper.make_node("Transpose", ["embedding"], ["turned"], "turn", perm=[1, 0]),
        helper.make_node("MatMul", ["narrow", "turned"], ["logits"], "head"),
    ]
    weights = {"embedding": weight(tiny.WORDS, WIDTH) * 5, "up": weight(WIDTH, 64), "down": weight(64, WIDTH)}
    return write(tmp_path / "text", tiny.ENCODER, nodes, weights, pixels=False)


@pytest.fixture
def images(tmp_path: Path) -> Artifact:
    """Two convolutions with a ReLU between them, and a Gemm whose matrix is transposed."""
    nodes = [
        helper.make_node("Conv", ["pixel_values", "first"], ["a"], "first", strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "second"], ["c"], "second", strides=[2, 2], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], "pool"),
        helper.make_node("Flatten", ["d"], ["e"], "flatten"),
        helper.make_node("Gemm", ["e", "matrix", "bias"], ["logits"], "head", transB=1),
    ]
    weights = {"first": weight(8, 1, 3, 3), "second": weight(16, 8, 3, 3), "matrix": weight(CLASSES, 16)}
    weights["bias"] = weight(CLASSES)
    return write(tmp_path / "images", tiny.IMAGES, nodes, weights, pixels=True)


def inputs(artifact: Artifact) -> dict[str, Any]:
    every = tiny.inputs(artifact.manifest.task)
    return {name: every[name] for name in every.keys() & {"input_ids", "pixel_values"}}


def stored(artifact: Artifact) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in onnx.load(artifact.path / "model.onnx").graph.initializer}


def count(artifact: Artifact) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in stored(artifact).values())


@pytest.mark.parametrize("kind", ["text", "images"])
@pytest.mark.parametrize(("module", "most"), [(fp16, 0.01), (int8_dynamic, 0.1), (int8_static, 0.1)])
def test_onnx_runtime_computes_nearly_the_same(
    module: ModuleType, most: float, kind: str, steps: Steps, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(kind)
    made, effect = steps.apply(module, source)
    exact, rounded = (answer(each, "onnxruntime", inputs(source))[0] for each in (source, made))
    assert 0 < drift(exact, rounded) < most
    size = sum(file.stat().st_size for file in made.weights)
    assert effect["bits_per_weight"] == pytest.approx(8 * size / count(source), abs=1e-3)


@pytest.mark.parametrize("kind", ["text", "images"])
def test_float16_rounds_every_weight_and_leaves_pixels_and_logits(
    kind: str, steps: Steps, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(kind)
    made, effect = steps.apply(fp16, source)
    before, after = stored(source), stored(made)
    assert effect["tensors_changed"] == len(before)
    changes = []
    for name, tensor in before.items():
        exact, rounded = numpy_helper.to_array(tensor), numpy_helper.to_array(after[name])
        assert np.array_equal(rounded, exact.astype(np.float16))
        changes.append(float(np.abs(rounded.astype(np.float32) - exact).max()))
    assert effect["max_abs_weight_change"] == pytest.approx(max(changes))
    graph = onnx.load(made.path / "model.onnx").graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert TensorProto.FLOAT16 not in kinds.values()


def test_dynamic_int8_leaves_a_shared_matrix_alone(text: Artifact, steps: Steps) -> None:
    made, effect = steps.apply(int8_dynamic, text)
    after = stored(made)
    assert effect["tensors_changed"] == 2
    assert effect["share_of_weights_quantized"] == pytest.approx(2 * 64 * WIDTH / count(text), abs=1e-4)
    assert after["embedding"].data_type == TensorProto.FLOAT
    assert {after[f"{name}_quantized"].data_type for name in ("up", "down")} == {TensorProto.INT8}
    assert len(numpy_helper.to_array(after["up_scale"])) == 64  # one an output channel
    assert "MatMulInteger" in {node.op_type for node in onnx.load(made.path / "model.onnx").graph.node}


def test_dynamic_int8_leaves_convolutions_alone(images: Artifact, steps: Steps) -> None:
    made, effect = steps.apply(int8_dynamic, images)
    assert effect["tensors_changed"] == 1
    assert effect["share_of_weights_quantized"] == pytest.approx(16 * CLASSES / count(images), abs=1e-4)
    assert all(stored(made)[name].data_type == TensorProto.FLOAT for name in ("first", "second"))


@pytest.mark.parametrize(("kind", "products"), [("text", 2), ("images", 3)])
def test_static_int8_quantizes_weight_and_activation_of_every_product(
    kind: str, products: int, steps: Steps, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(kind)
    made, effect = steps.apply(int8_static, source, examples=8)
    integers = [each for each in stored(made).values() if each.data_type == TensorProto.INT8 and len(each.dims) > 1]
    assert effect["examples"] == 8
    assert effect["tensors_quantized"] == effect["activations_quantized"] == len(integers) == products
    share = sum(np.prod(tensor.dims) for tensor in integers) / count(source)
    assert effect["share_of_weights_quantized"] == pytest.approx(share, abs=1e-4)


def test_a_reduced_range_keeps_weights_in_7_bits(images: Artifact, steps: Steps) -> None:
    most = []
    for reduced in (False, True):
        made, _ = steps.apply(int8_static, images, reduce_range=reduced)
        tensors = [each for each in stored(made).values() if each.data_type == TensorProto.INT8 and len(each.dims) > 1]
        most.append(max(np.abs(numpy_helper.to_array(tensor).astype(int)).max() for tensor in tensors))
    assert most == [127, 64]


def scales(artifact: Artifact) -> dict[str, float]:
    """The step between two integers of every activation: 255 of them are its range."""
    tensors = {name: each for name, each in stored(artifact).items() if not each.dims and "scale" in name}
    return {name: float(numpy_helper.to_array(each)) for name, each in tensors.items()}


def test_percentile_chooses_narrower_ranges_than_minmax(images: Artifact, steps: Steps) -> None:
    exact, _ = answer(images, "onnxruntime", inputs(images))
    made = [steps.apply(int8_static, images, calibration=method)[0] for method in ("minmax", "percentile")]
    wide, narrow = map(scales, made)
    assert wide.keys() == narrow.keys()
    assert all(narrow[name] <= 1.001 * scale for name, scale in wide.items())
    assert wide != narrow
    assert drift(exact, answer(made[1], "onnxruntime", inputs(images))[0]) < 0.3


def test_entropy_calibrates_too(images: Artifact, steps: Steps) -> None:
    exact, _ = answer(images, "onnxruntime", inputs(images))
    made, _ = steps.apply(int8_static, images, calibration="entropy")
    assert 0 < drift(exact, answer(made, "onnxruntime", inputs(images))[0]) < 0.1


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_an_outlier_is_cut_off(method: str, images: Artifact, steps: Steps) -> None:
    pixels = np.random.default_rng(0).random((128, 1, tiny.EDGE, tiny.EDGE), np.float32)
    pixels[5, 0, 3, 3] = 40  # one of 131,072
    rows = steps.folder / f"train-{tiny.IMAGES}"
    rows.mkdir()
    prepared.save(rows, {"image_size": tiny.EDGE}, {"pixel_values": pixels, "labels": np.zeros(128, int)})
    wide, narrow = (
        scales(steps.apply(int8_static, images, calibration=each, examples=128)[0]) for each in ("minmax", method)
    )
    assert wide["pixel_values_scale"] == pytest.approx(40 / 255)
    assert narrow["pixel_values_scale"] < 40 / 255 / 4
    assert all(narrow[name] <= 1.001 * scale for name, scale in wide.items())


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_rows_of_different_lengths_calibrate(method: str, text: Artifact, steps: Steps) -> None:
    exact, _ = answer(text, "onnxruntime", inputs(text))
    made, _ = steps.apply(int8_static, text, calibration=method)
    assert 0 < drift(exact, answer(made, "onnxruntime", inputs(text))[0]) < 0.1


@pytest.mark.parametrize("module", [int8_dynamic, int8_static])
def test_a_graph_without_constant_matrices_is_an_error(module: ModuleType, steps: Steps, tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["embedding", "input_ids"], ["logits"], "embed")]
    source = write(tmp_path / "lookup", tiny.ENCODER, nodes, {"embedding": weight(tiny.WORDS, WIDTH)}, pixels=False)
    with pytest.raises(ConversionError, match="no matrix product"):
        steps.apply(module, source)


def test_a_quantized_graph_is_not_quantized_again(text: Artifact, steps: Steps) -> None:
    made, _ = steps.apply(int8_dynamic, text)
    with pytest.raises(ConversionError, match="int8-static takes onnx/fp32, not onnx/int8"):
        steps.apply(int8_static, made)


def test_an_unknown_parameter_is_refused(images: Artifact, steps: Steps) -> None:
    with pytest.raises(ConversionError, match="calibration: expected one of minmax, entropy, percentile"):
        steps.apply(int8_static, images, calibration="guess")
