"""TensorFlow's converter: the exporter and the passes to TFLite, counted in the written graph and run by its interpreter."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import networks
import numpy as np
import pytest
import tf_keras

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import drift
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/tensorflow")]

from exporters import tflite  # noqa: E402
from passes import fp16, int8_dynamic, int8_static, qat  # noqa: E402
from tflite_graphs import constants, run  # noqa: E402

PASSES = [
    pytest.param(fp16, np.float16, 0.02, id="fp16"),
    pytest.param(int8_dynamic, np.int8, 0.15, id="int8-dynamic"),
    pytest.param(int8_static, np.int8, 0.3, id="int8-static"),
]


def layers(width: int) -> list[Any]:
    """A convolution of that width, and a matrix."""
    kinds = tf_keras.layers
    convolution = kinds.Conv2D(width, 5, strides=4, activation="relu")
    return [kinds.Permute((2, 3, 1)), convolution, kinds.Flatten(), kinds.Dense(4)]


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    return networks.keras(tmp_path / "keras", layers(48))


def answers(source: Artifact, made: Artifact) -> tuple[np.ndarray, np.ndarray]:
    pixels = tiny.inputs(tiny.IMAGES, 5)["pixel_values"]
    exact = np.asarray(tf_keras.models.load_model(source.weights[0], compile=False)(pixels, training=False))
    return exact, run(made.weights[0], pixels)


def test_the_exported_graph_answers_like_the_model_at_any_batch(model: Artifact, steps: Steps) -> None:
    made, effect = steps.export(tflite, model)
    assert str(made.form) == "tflite/fp32"
    assert effect["max_abs_logit_difference"] < 1e-4
    assert drift(*answers(model, made)) < 1e-4


@pytest.mark.parametrize(("module", "kind", "most"), PASSES)
def test_matrices_shrink_and_the_interpreter_computes_nearly_the_same(
    module: ModuleType, kind: type[np.generic], most: float, model: Artifact, steps: Steps
) -> None:
    made, effect = steps.apply(module, model)
    found = constants(made.weights[0], kind)
    full, _ = steps.export(tflite, model)
    assert effect["tensors_changed"] == len(found) == 2
    assert effect["max_distinct_values_per_scale"] == max(constant.distinct for constant in found)
    assert made.weights[0].stat().st_size < {np.float16: 0.7, np.int8: 0.5}[kind] * full.weights[0].stat().st_size
    assert 0 < drift(*answers(model, made)) < most


@pytest.mark.parametrize("module", [int8_dynamic, int8_static])
@pytest.mark.parametrize("per_channel", [True, False])
def test_filters_have_a_scale_a_channel_only_if_asked_for(
    module: ModuleType, per_channel: bool, model: Artifact, steps: Steps
) -> None:
    made, _ = steps.apply(module, model, per_channel=per_channel)
    axes = [constant.axis for constant in constants(made.weights[0], np.int8) if constant.values.ndim == 4]
    assert len(axes) == 1
    assert (axes[0] is not None) is per_channel


def test_static_int8_takes_as_many_examples_as_there_are(model: Artifact, steps: Steps) -> None:
    assert steps.apply(int8_static, model, examples=8)[1]["examples"] == 8
    assert steps.apply(int8_static, model, examples=1000)[1]["examples"] == tiny.ROWS


def test_quantization_training_without_earlier_passes_uses_the_default_scheme(steps: Steps, tmp_path: Path) -> None:
    flat = networks.keras(tmp_path / "flat", [tf_keras.layers.Flatten(), tf_keras.layers.Dense(4)])
    made, effect = steps.apply(qat, flat, epochs=1)
    assert effect["scheme"] == "default"
    assert len(constants(made.weights[0], np.int8)) == effect["tensors_changed"] == 1


def test_a_weight_beyond_float16_is_an_error(model: Artifact, steps: Steps) -> None:
    loaded = tf_keras.models.load_model(model.weights[0], compile=False)
    kernel, bias = loaded.layers[-1].get_weights()
    kernel[0, 0] = 1e6
    loaded.layers[-1].set_weights([kernel, bias])
    loaded.save(model.weights[0])
    with pytest.raises(ConversionError, match="beyond the range of float16"):
        steps.apply(fp16, model)


def test_a_model_too_small_for_the_converter_is_an_error(steps: Steps, tmp_path: Path) -> None:
    """The converter leaves tensors of fewer than 1,024 numbers alone."""
    with pytest.raises(ConversionError, match="stored no matrix and no filter as int8"):
        steps.apply(int8_dynamic, networks.keras(tmp_path / "small", layers(4)))
