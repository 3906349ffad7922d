"""Exported graphs: TorchScript, ExportedProgram and ONNX answer like the checkpoint, at any batch, length and image size."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from harness.contracts.artifact import ConversionError
from tests.passes import tiny
from tests.passes.runtimes import answer, drift, generated
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from exporters import onnx as onnx_graph  # noqa: E402
from exporters import onnx_int4, torch_export, torchscript  # noqa: E402
from passes import bf16, fp16, int4, int8_dynamic  # noqa: E402

GRAPHS = [pytest.param(torchscript, "torchscript", id="torchscript"), pytest.param(torch_export, "export", id="export")]
ONE_PASS = (tiny.ENCODER, tiny.IMAGES)


@pytest.mark.parametrize("task", ONE_PASS)
@pytest.mark.parametrize(("module", "mode"), GRAPHS)
def test_a_graph_answers_like_its_checkpoint_at_any_batch_and_length(
    module: ModuleType, mode: str, task: str, steps: Steps, tmp_path: Path
) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, effect = steps.export(module, source)
    assert effect["max_abs_logit_difference"] < 1e-4
    for batch, length in ((1, 5), (4, 17)):
        inputs = tiny.inputs(task, batch, length)
        graph, precision = answer(made, "pytorch", inputs, mode)
        assert precision == "fp32"
        assert drift(answer(source, "pytorch", inputs)[0], graph) < 1e-3


@pytest.mark.parametrize("cast", [fp16, bf16])
@pytest.mark.parametrize(("module", "mode"), GRAPHS)
def test_a_graph_keeps_the_precision_of_its_checkpoint(
    module: ModuleType, mode: str, cast: ModuleType, steps: Steps, tmp_path: Path
) -> None:
    exact = tiny.checkpoint(tiny.ENCODER, tmp_path)
    source, _ = steps.apply(cast, exact)
    made, full = steps.export(module, source)[0], steps.export(module, exact)[0]
    assert made.form.precision == cast.CARD.name
    saved = full.weights[0].stat().st_size - made.weights[0].stat().st_size
    assert saved > 0.95 * (exact.weights[0].stat().st_size - source.weights[0].stat().st_size)
    inputs = tiny.inputs(tiny.ENCODER)
    graph, precision = answer(made, "pytorch", inputs, mode)
    assert precision == cast.CARD.name
    assert drift(answer(source, "pytorch", inputs)[0], graph) < 0.02


@pytest.mark.parametrize("module", [torchscript, torch_export, onnx_graph])
def test_a_quantized_checkpoint_is_refused(module: ModuleType, steps: Steps, tmp_path: Path) -> None:
    source, _ = steps.apply(int8_dynamic, tiny.checkpoint(tiny.ENCODER, tmp_path))
    with pytest.raises(ConversionError, match=r"takes hf/fp32.*, not hf/int8"):
        steps.export(module, source)


@pytest.mark.parametrize("task", [*ONE_PASS, tiny.LANGUAGE])
def test_onnx_runtime_answers_like_the_checkpoint_at_any_batch_and_length(
    task: str, steps: Steps, tmp_path: Path
) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, effect = steps.export(onnx_graph, source)
    if task != tiny.LANGUAGE:  # which has operators of ONNX Runtime's own
        onnx.checker.check_model(made.path / "model.onnx")
    assert effect["max_abs_logit_difference"] < 1e-3
    for batch, length in ((1, 5), (4, 17)):
        inputs = tiny.inputs(task, batch, length)
        graph, _ = answer(made, "onnxruntime", inputs)
        assert drift(answer(source, "pytorch", inputs)[0], graph) < 1e-3


def test_the_mask_of_padded_tokens_is_in_the_graph(steps: Steps, tmp_path: Path) -> None:
    """What stands where the mask is 0 changes no other token's logits."""
    made, _ = steps.export(onnx_graph, tiny.checkpoint(tiny.ENCODER, tmp_path))
    inputs = tiny.inputs(tiny.ENCODER, batch=1, length=9)
    inputs["attention_mask"][:, 6:] = 0
    others = {**inputs, "input_ids": np.where(inputs["attention_mask"], inputs["input_ids"], 7)}
    first, second = (answer(made, "onnxruntime", each)[0][:, :6] for each in (inputs, others))
    assert drift(first, second) < 1e-4


def test_a_language_model_goes_on_from_its_cache(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path)
    made, _ = steps.export(onnx_graph, source)
    assert made.manifest.extra == {"key_value_heads": 2, "head_size": 16}
    ids = tiny.inputs(tiny.LANGUAGE, batch=2, length=9)["input_ids"]
    whole, _ = answer(source, "pytorch", {"input_ids": ids})
    assert drift(whole[:, 4:], generated(made, "onnxruntime", ids, prompt=5)) < 1e-3


@pytest.mark.parametrize(("group", "symmetric"), [(32, False), (64, True)])
def test_the_4_bit_numbers_of_a_checkpoint_are_those_of_its_graph(
    group: int, symmetric: bool, steps: Steps, tmp_path: Path
) -> None:
    source, _ = steps.apply(int4, tiny.checkpoint(tiny.LANGUAGE, tmp_path), group_size=group, symmetric=symmetric)
    made, effect = steps.export(onnx_int4, source)
    products = [node for node in onnx.load(made.path / "model.onnx").graph.node if node.op_type == "MatMulNBits"]
    assert effect["products_in_int4"] == len(products) == 2 * 5  # queries, keys and values are one product
    assert effect["max_abs_logit_difference"] < 1e-3  # of the expanded weights, in fp32
    for node in products:
        settings = {attribute.name: attribute.i for attribute in node.attribute}
        assert (settings["bits"], settings["block_size"], settings["accuracy_level"]) == (4, group, 4)
    inputs = tiny.inputs(tiny.LANGUAGE)
    expected, _ = answer(source, "pytorch", inputs)
    assert drift(expected, answer(made, "onnxruntime", inputs)[0]) < 0.1  # bfloat16 there, INT8 activations here


def test_a_4_bit_graph_is_a_quarter_of_its_fp32_one_in_the_layers(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path, intermediate_size=1024)
    full, _ = steps.export(onnx_graph, source)
    made, _ = steps.export(onnx_int4, steps.apply(int4, source)[0])
    sizes = [sum(file.stat().st_size for file in artifact.weights) for artifact in (full, made)]
    assert sizes[1] < 0.25 * sizes[0]


def test_an_unquantized_checkpoint_has_no_4_bit_graph(steps: Steps, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="onnx-int4 takes hf/int4, not hf/fp32"):
        steps.export(onnx_int4, tiny.checkpoint(tiny.LANGUAGE, tmp_path))
