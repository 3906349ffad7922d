"""LiteRT's exporter and the passes on its graphs: what is in the written file, and that LiteRT computes nearly the same."""

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
from tests.passes.runtimes import answer, drift, reference
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/litert")]

from constants import FLOAT16, FLOAT32, INT8, constants  # noqa: E402
from exporters import tflite  # noqa: E402
from passes import fp16, int8_dynamic, int8_static  # noqa: E402

TASKS = (tiny.ENCODER, tiny.IMAGES)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Any:
    """Make the tiny checkpoint of a task. 64 positions: two signatures."""
    shapes = {tiny.ENCODER: {"max_position_embeddings": 64}, tiny.IMAGES: {}}
    return lambda task: tiny.checkpoint(task, tmp_path, **shapes[task])


def logits(artifact: Artifact, task: str, length: int = 11) -> Array:
    return np.concatenate([answer(artifact, "litert", each, "ai_edge_litert")[0] for each in singles(task, length)])


def singles(task: str, length: int) -> list[dict[str, Array]]:
    """Inputs of batch 1, which the graphs are for."""
    whole = tiny.inputs(task, 3, length)
    return [{name: array[row : row + 1] for name, array in whole.items()} for row in range(3)]


def expected(source: Artifact, task: str, length: int = 11) -> Array:
    return reference(source, tiny.inputs(task, 3, length))


def test_every_signature_answers_like_the_checkpoint(checkpoint: Any, steps: Steps) -> None:
    source = checkpoint(tiny.ENCODER)
    made, effect = steps.export(tflite, source)
    assert made.manifest.extra["signatures"] == effect["signatures"] == ["tokens_32", "tokens_64"]
    assert effect["max_abs_logit_difference"] < 1e-3
    for length in (11, 50):  # a text for each of them
        assert drift(expected(source, tiny.ENCODER, length), logits(made, tiny.ENCODER, length)) < 1e-3


def test_signatures_share_their_weights(checkpoint: Any, steps: Steps) -> None:
    source = checkpoint(tiny.ENCODER)
    made, _ = steps.export(tflite, source)
    assert made.weights[0].stat().st_size < 1.5 * source.weights[0].stat().st_size


def test_an_image_model_has_one_signature(checkpoint: Any, steps: Steps) -> None:
    source = checkpoint(tiny.IMAGES)
    made, effect = steps.export(tflite, source)
    assert effect["signatures"] == ["images"]
    assert drift(expected(source, tiny.IMAGES), logits(made, tiny.IMAGES)) < 1e-3


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("module", "kind", "most"), [(fp16, FLOAT16, 0.02), (int8_dynamic, INT8, 0.25)], ids=["fp16", "int8-dynamic"]
)
def test_a_pass_shrinks_the_weights_and_litert_computes_nearly_the_same(
    module: ModuleType, kind: int, most: float, task: str, checkpoint: Any, steps: Steps
) -> None:
    source, _ = steps.export(tflite, checkpoint(task))
    made, effect = steps.apply(module, source)
    before, after = constants(source.weights[0], FLOAT32), constants(made.weights[0], kind)
    matrices = {number: values for number, (values, _) in after.items() if values.ndim}
    total = sum(values.size for values, _ in before.values())
    assert effect["tensors_changed"] == len(matrices) > 0
    share = effect["share_of_weights_rounded" if kind == FLOAT16 else "share_of_weights_quantized"]
    assert share == pytest.approx(sum(values.size for values in matrices.values()) / total, abs=1e-4)
    assert effect["bits_per_weight"] == pytest.approx(8 * made.weights[0].stat().st_size / total, abs=1e-3)
    assert made.weights[0].stat().st_size < source.weights[0].stat().st_size
    assert 0 < drift(logits(source, task), logits(made, task)) < most


def test_float16_weights_are_the_nearest(checkpoint: Any, steps: Steps) -> None:
    source, _ = steps.export(tflite, checkpoint(tiny.ENCODER))
    made, effect = steps.apply(fp16, source)
    before, after = constants(source.weights[0], FLOAT32), constants(made.weights[0], FLOAT16)
    assert all(np.array_equal(values, before[number][0].astype(np.float16)) for number, (values, _) in after.items())
    changes = [np.abs(values.astype(np.float32) - before[number][0]).max() for number, (values, _) in after.items()]
    assert effect["max_abs_weight_change"] == pytest.approx(float(max(changes)))


def test_a_weight_beyond_float16_is_an_error(checkpoint: Any, steps: Steps) -> None:
    from safetensors.torch import load_file, save_file

    source = checkpoint(tiny.IMAGES)
    tensors = load_file(source.weights[0])
    tensors["classifier.1.weight"][0, 0] = 1e5
    save_file(tensors, source.weights[0], {"format": "pt"})
    with pytest.raises(ConversionError, match="beyond the range of float16"):
        steps.apply(fp16, steps.export(tflite, source)[0])


def test_static_int8_quantizes_activations_and_leaves_pixels_and_logits(checkpoint: Any, steps: Steps) -> None:
    from ai_edge_litert.interpreter import Interpreter

    source, _ = steps.export(tflite, checkpoint(tiny.IMAGES))
    made, effect = steps.apply(int8_static, source, examples=16)
    assert effect["examples"] == 16
    assert effect["tensors_changed"] == 7  # six convolutions and the classifier
    interpreter = Interpreter(str(made.weights[0]))
    ends = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    assert {end["dtype"] for end in ends} == {np.float32}
    kinds = [each["dtype"] for each in interpreter.get_tensor_details() if len(each["shape"]) == 4]
    assert kinds.count(np.int8) > 7  # activations among them
    exact, rounded = logits(source, tiny.IMAGES), logits(made, tiny.IMAGES)
    assert 0 < drift(exact, rounded) < 0.9  # the quantizer averages ranges over rows and cuts the rare large logits off
    assert np.array_equal(exact.argmax(-1), rounded.argmax(-1))


def test_static_int8_is_for_images_whose_rows_it_has(checkpoint: Any, steps: Steps) -> None:
    source, _ = steps.export(tflite, checkpoint(tiny.IMAGES))
    _, effect = steps.apply(int8_static, source, examples=1000)
    assert effect["examples"] == tiny.ROWS


def test_a_quantized_graph_is_not_quantized_again(checkpoint: Any, steps: Steps) -> None:
    made, _ = steps.apply(int8_dynamic, steps.export(tflite, checkpoint(tiny.IMAGES))[0])
    with pytest.raises(ConversionError, match="fp16 takes tflite/fp32, not tflite/int8"):
        steps.apply(fp16, made)
