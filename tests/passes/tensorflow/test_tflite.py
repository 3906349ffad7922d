"""TensorFlow's converter: the exporter and the passes to TFLite, counted in the written graph and run by its interpreter."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import drift
from tests.passes.steps import Steps

sys.path.append(str(Path(__file__).parents[3] / "images/toolchains/tensorflow"))

from exporters import tflite
from passes import fp16, int8_dynamic, int8_static, qat
from tflite_graphs import constants, run

tf.config.threading.set_intra_op_parallelism_threads(2)
tf.config.threading.set_inter_op_parallelism_threads(1)

PASSES = [
    pytest.param(fp16, np.float16, 0.02, id="fp16"),
    pytest.param(int8_dynamic, np.int8, 0.15, id="int8-dynamic"),
    pytest.param(int8_static, np.int8, 0.3, id="int8-static"),
]


def keras(folder: Path, widths: tuple[int, ...]) -> Artifact:
    """A convolution, where there are two widths, and a matrix."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    layers = [tf_keras.layers.Input((1, tiny.EDGE, tiny.EDGE)), tf_keras.layers.Permute((2, 3, 1))]
    layers += [tf_keras.layers.Conv2D(width, 5, strides=4, activation="relu") for width in widths]
    layers += [tf_keras.layers.Flatten(), tf_keras.layers.Dense(4)]
    folder.mkdir()
    tf_keras.Sequential(layers).save(folder / "model.keras")
    (folder / "config.json").write_text(json.dumps({"num_channels": 1, "image_size": tiny.EDGE}), "utf-8")
    return tiny.artifact(folder, "keras", tiny.IMAGES, ["model.keras"])


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    return keras(tmp_path / "keras", (48,))


def answers(source: Artifact, made: Artifact) -> tuple[np.ndarray, np.ndarray]:
    import tf_keras

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


def test_quantization_training_without_earlier_passes_uses_the_default_scheme(model: Artifact, steps: Steps) -> None:
    import tf_keras

    tf_keras.Sequential(
        [tf_keras.layers.Input((1, tiny.EDGE, tiny.EDGE)), tf_keras.layers.Flatten(), tf_keras.layers.Dense(4)]
    ).save(model.weights[0])
    made, effect = steps.apply(qat, model, epochs=1)
    assert effect["scheme"] == "default"
    assert len(constants(made.weights[0], np.int8)) == effect["tensors_changed"] == 1


def test_a_weight_beyond_float16_is_an_error(model: Artifact, steps: Steps) -> None:
    import tf_keras

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
        steps.apply(int8_dynamic, keras(tmp_path / "small", (4,)))
