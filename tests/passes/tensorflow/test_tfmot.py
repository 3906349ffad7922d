"""The passes on Keras models, by the tensorflow toolchain's own environment."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from harness.contracts.artifact import Artifact, Context, ConversionError
from tests.passes.contexts import IMAGES, make_artifact, make_context

sys.path.append(str(Path(__file__).parents[3] / "images/toolchains/tensorflow"))

# As the passes set them: later, TensorFlow takes no other number.
tf.config.threading.set_intra_op_parallelism_threads(2)
tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    import tf_keras

    layers = [
        tf_keras.layers.Input((1, 8, 8)),
        tf_keras.layers.Flatten(),
        tf_keras.layers.Dense(40),
        tf_keras.layers.Dense(3),
    ]
    tf_keras.Sequential(layers).save(tmp_path / "model.keras")
    (tmp_path / "config.json").write_text('{"num_channels": 1, "image_size": 8}', "utf-8")
    return make_artifact(tmp_path, IMAGES, "keras", ("model.keras",))


@pytest.fixture
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    data, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    pixels, labels = random.random((64, 1, 8, 8), np.float32), random.integers(0, 3, 64)
    np.savez(data / "data.npz", pixel_values=pixels, labels=labels)
    (data / "data.json").write_text("{}", "utf-8")
    return make_context(IMAGES, {"calibration": data})


def test_clusters_leave_so_many_values_and_quantization_training_keeps_them(
    artifact: Artifact, context: Context, tmp_path_factory: pytest.TempPathFactory
):
    from passes import qat, tfmot_cluster

    out = tmp_path_factory.mktemp("clustered")
    made = tfmot_cluster.apply(artifact, out, {"clusters": 4, "epochs": 1, "learning_rate": 1e-4}, context)
    assert made.effect["max_distinct_values_per_tensor"] <= 4
    clustered = Artifact(out, {**artifact.manifest, "passes": [{"name": "tfmot-cluster"}]})
    made = qat.apply(clustered, tmp_path_factory.mktemp("int8"), {"epochs": 1, "learning_rate": 1e-4}, context)
    assert made.effect["scheme"] == "cluster-preserving"
    assert made.effect["max_distinct_values_per_scale"] <= 4


def test_pruning_reaches_its_sparsity_and_refuses_clusters(artifact: Artifact, context: Context, tmp_path: Path):
    from passes import tfmot_prune

    out = tmp_path / "out"
    out.mkdir()
    parameters = {"sparsity": 0.5, "epochs": 2, "learning_rate": 1e-3}
    assert tfmot_prune.apply(artifact, out, parameters, context).effect["sparsity"] >= 0.49
    clustered = Artifact(artifact.path, {**artifact.manifest, "passes": [{"name": "tfmot-cluster"}]})
    with pytest.raises(ConversionError, match="before tfmot-cluster"):
        tfmot_prune.apply(clustered, out, parameters, context)
