"""Clustering: no more values than asked for, a file as small as its bits, and the same numbers however it is read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertForTokenClassification

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

import palette  # noqa: E402
from exporters import hf_clustered  # noqa: E402
from passes import cluster  # noqa: E402


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return tiny.checkpoint(tiny.ENCODER, tmp_path, vocab_size=500)


def restored(made: Artifact) -> dict[str, Any]:
    return palette.restored(load_file(made.weights[0]), made.manifest.extra)


def test_a_tensor_has_no_more_values_than_clusters(artifact: Artifact, steps: Steps) -> None:
    made, effect = steps.apply(cluster, artifact, clusters=16)
    tensors = restored(made)
    assert max(len(tensors[name].unique()) for name in made.manifest.extra["clustered"]) == 16
    assert effect["max_distinct_values_per_tensor"] == 16


def test_the_file_takes_four_bits_a_weight_and_little_more(artifact: Artifact, steps: Steps) -> None:
    made, effect = steps.apply(cluster, artifact, clusters=16)
    assert made.weights[0].stat().st_size / artifact.weights[0].stat().st_size < 0.2
    assert effect["bits_per_weight"] < 6


def test_every_value_is_the_mean_of_its_weights(artifact: Artifact, steps: Steps) -> None:
    made, _ = steps.apply(cluster, artifact, clusters=4)
    name = "bert.embeddings.word_embeddings.weight"
    before, after = load_file(artifact.weights[0])[name], restored(made)[name]
    for value in after.unique():
        assert float(before[after == value].mean()) == pytest.approx(float(value), abs=1e-3)


def test_the_same_seed_gives_the_same_file(artifact: Artifact, steps: Steps) -> None:
    first, second = (steps.apply(cluster, artifact, clusters=16)[0].weights[0] for _ in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_unpacking_gives_an_ordinary_checkpoint(artifact: Artifact, steps: Steps) -> None:
    packed, _ = steps.apply(cluster, artifact, clusters=16)
    unpacked, _ = steps.export(hf_clustered, packed)
    model = BertForTokenClassification.from_pretrained(unpacked.path)
    assert len(model.bert.encoder.layer[0].output.dense.weight.unique()) == 16
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in restored(packed).items())
    assert unpacked.manifest.extra == {}


def test_a_model_too_small_for_its_palettes_is_an_error(steps: Steps, tmp_path: Path) -> None:
    sizes = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    sizes |= {"intermediate_size": 8, "max_position_embeddings": 8}
    with pytest.raises(ConversionError, match="ask for fewer"):
        steps.apply(cluster, tiny.checkpoint(tiny.ENCODER, tmp_path, **sizes), clusters=256)
