"""OpenVINO's exporter and the passes on its graphs: what is in the written file, and that OpenVINO computes nearly the same."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import answer, drift, generated, reference
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/openvino")]
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # as the passes have it: no report over the network

from exporters import openvino as exporter  # noqa: E402
from passes import awq, fp16, gptq, int4, int8_dynamic, int8_static  # noqa: E402

TASKS = (tiny.ENCODER, tiny.IMAGES, tiny.LANGUAGE)
INT4_PASSES = (int4, awq, gptq)


@pytest.fixture
def graph(steps: Steps, tmp_path: Path) -> Any:
    """Export the tiny checkpoint of a task."""
    return lambda task, **changes: steps.export(exporter, tiny.checkpoint(task, tmp_path, **changes))[0]


def types(artifact: Artifact) -> dict[str, list[str]]:
    """Element type -> names of the constants of two dimensions or more in the written file."""
    import openvino

    found: dict[str, list[str]] = {}
    for node in openvino.Core().read_model(artifact.path / "model.xml").get_ops():
        if node.get_type_name() == "Constant" and len(node.shape) > 1 and min(node.shape) > 1:
            found.setdefault(node.get_element_type().get_type_name(), []).append(node.get_friendly_name())
    return found


def logits(artifact: Artifact, task: str, batch: int = 3, length: int = 11) -> Array:
    return answer(artifact, "openvino", tiny.inputs(task, batch, length))[0]


@pytest.mark.parametrize("task", TASKS)
def test_a_graph_answers_like_its_checkpoint_at_any_batch_and_length(task: str, steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, effect = steps.export(exporter, source)
    assert effect["max_abs_logit_difference"] < 1e-3
    for batch, length in ((1, 5), (4, 17)):
        expected = reference(source, tiny.inputs(task, batch, length))
        assert drift(expected, logits(made, task, batch, length)) < 1e-3


def test_a_language_model_goes_on_from_the_cache_inside_its_graph(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path)
    made, effect = steps.export(exporter, source)
    assert effect["layers_with_fused_cache"] == 2
    inputs = tiny.inputs(tiny.LANGUAGE, 2, 9)
    given = generated(made, "openvino", inputs["input_ids"], prompt=5)
    assert drift(reference(source, inputs)[:, 4:], given) < 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_float16_halves_the_file_and_changes_little(task: str, graph: Any, steps: Steps) -> None:
    source = graph(task)
    made, effect = steps.apply(fp16, source)
    assert "f32" not in types(made)
    sizes = [sum(file.stat().st_size for file in each.weights) for each in (source, made)]
    assert effect["bits_per_weight"] == pytest.approx(32 * sizes[1] / sizes[0], abs=1e-3)
    assert (made.path / "model.bin").stat().st_size < 0.55 * (source.path / "model.bin").stat().st_size
    assert effect["tensors_changed"] >= len(types(made)["f16"])
    assert 0 < drift(logits(source, task), logits(made, task)) < 0.02


def test_float16_refuses_weights_that_openvino_would_clip(graph: Any, steps: Steps, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = tiny.checkpoint(tiny.ENCODER, tmp_path)
    tensors = load_file(source.weights[0])
    tensors["classifier.weight"][0, 0] = 1e5
    save_file(tensors, source.weights[0], {"format": "pt"})
    with pytest.raises(ConversionError, match="beyond the range of float16"):
        steps.apply(fp16, steps.export(exporter, source)[0])


@pytest.mark.parametrize("task", [tiny.ENCODER, tiny.LANGUAGE])
def test_dynamic_int8_compresses_every_matrix(task: str, graph: Any, steps: Steps) -> None:
    source = graph(task)
    made, effect = steps.apply(int8_dynamic, source)
    assert effect["tensors_changed"] == len(types(made)["u8"])
    assert effect["share_of_weights_quantized"] > 0.95
    assert 0 < drift(logits(source, task), logits(made, task)) < 0.1


@pytest.mark.parametrize("preset", ["mixed", "performance"])
@pytest.mark.parametrize("task", [tiny.ENCODER, tiny.IMAGES])
def test_static_int8_quantizes_weights_and_activations(task: str, preset: str, graph: Any, steps: Steps) -> None:
    source = graph(task)
    made, effect = steps.apply(int8_static, source, examples=tiny.ROWS, preset=preset)
    kinds = types(made)
    assert effect["examples"] == tiny.ROWS
    assert effect["tensors_quantized"] >= len(kinds["i8"]) > 0
    assert effect["products_quantized"] >= {tiny.ENCODER: 13, tiny.IMAGES: 6}[task]
    assert 0 < drift(logits(source, task), logits(made, task)) < {tiny.ENCODER: 0.15, tiny.IMAGES: 0.3}[task]


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("module", INT4_PASSES)
def test_int4_holds_every_matrix_but_embedding_and_head(
    module: ModuleType, symmetric: bool, graph: Any, steps: Steps
) -> None:
    source = graph(tiny.LANGUAGE)
    made, effect = steps.apply(module, source, group_size=32, symmetric=symmetric)
    kinds = types(made)
    assert effect["tensors_in_int4"] == len(kinds["i4" if symmetric else "u4"]) == 2 * 7
    assert effect["share_of_weights_in_int4"] < effect["share_of_weights_quantized"]
    assert effect.get("examples", 0) <= tiny.ROWS
    assert 0 < drift(logits(source, tiny.LANGUAGE), logits(made, tiny.LANGUAGE)) < 0.6


@pytest.mark.parametrize("module", [awq, gptq])
def test_calibrated_int4_differs_from_rounding_and_from_fewer_rows(
    module: ModuleType, graph: Any, steps: Steps
) -> None:
    source = graph(tiny.LANGUAGE)
    plain, _ = steps.apply(int4, source, group_size=32)
    many, effect = steps.apply(module, source, group_size=32, samples=16)
    few, _ = steps.apply(module, source, group_size=32, samples=2)
    assert effect["examples"] == 16
    assert len({(made.path / "model.bin").read_bytes() for made in (plain, many, few)}) == 3


@pytest.mark.parametrize("module", INT4_PASSES)
def test_a_group_that_does_not_divide_a_width_is_refused(module: ModuleType, graph: Any, steps: Steps) -> None:
    with pytest.raises(ConversionError, match="group_size 48 does not divide 64, 128"):
        steps.apply(module, graph(tiny.LANGUAGE), group_size=48)


def test_a_compressed_graph_is_not_compressed_again(graph: Any, steps: Steps) -> None:
    made, _ = steps.apply(int8_dynamic, graph(tiny.ENCODER))
    with pytest.raises(ConversionError, match="fp16 takes openvino/fp32, not openvino/int8"):
        steps.apply(fp16, made)


def test_a_checkpoint_in_bfloat16_keeps_its_precision(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.ENCODER, tmp_path)
    made, _ = steps.export(exporter, tiny.cast(source, "bfloat16"))
    assert "f32" not in types(made)
    assert np.isfinite(logits(made, tiny.ENCODER)).all()
    assert drift(reference(source, tiny.inputs(tiny.ENCODER)), logits(made, tiny.ENCODER)) < 0.1
