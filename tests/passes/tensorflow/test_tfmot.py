"""The passes on Keras models, by the tensorflow toolchain's own environment."""

from __future__ import annotations

import sys
from pathlib import Path

import networks
import pytest
import tf_keras

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/tensorflow")]

from passes import qat, tfmot_cluster, tfmot_prune  # noqa: E402


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    kinds = tf_keras.layers
    return networks.keras(tmp_path / "keras", [kinds.Flatten(), kinds.Dense(40), kinds.Dense(4)])


def test_clusters_leave_so_many_values_and_quantization_training_keeps_them(artifact: Artifact, steps: Steps) -> None:
    clustered, effect = steps.apply(tfmot_cluster, artifact, clusters=4, epochs=1, learning_rate=1e-4)
    assert effect["max_distinct_values_per_tensor"] <= 4
    _, effect = steps.apply(qat, clustered, epochs=1, learning_rate=1e-4)
    assert effect["scheme"] == "cluster-preserving"
    assert effect["max_distinct_values_per_scale"] <= 4


def test_pruning_reaches_its_sparsity_and_refuses_clusters(artifact: Artifact, steps: Steps) -> None:
    _, effect = steps.apply(tfmot_prune, artifact, sparsity=0.5, epochs=8)
    assert effect["sparsity"] >= 0.49
    clustered, _ = steps.apply(tfmot_cluster, artifact, clusters=4, epochs=1)
    with pytest.raises(ConversionError, match="before tfmot-cluster"):
        steps.apply(tfmot_prune, clustered, sparsity=0.5)
