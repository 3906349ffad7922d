"""Clustering: no more values than asked for, a file as small as its bits, and the same numbers however it is read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForTokenClassification

from harness.contracts.artifact import Artifact, ConversionError, Made
from tests.passes.contexts import ENCODER, make_artifact, make_context

IMAGE = Path(__file__).parents[3] / "images/toolchains/torch"
sys.path[:0] = [str(IMAGE)]

import palette  # noqa: E402
from exporters import hf_clustered  # noqa: E402
from passes import cluster  # noqa: E402

CONTEXT = make_context(ENCODER)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
    )
    BertForTokenClassification(config).save_pretrained(tmp_path / "source")
    return make_artifact(tmp_path / "source", ENCODER)


def clustered(artifact: Artifact, clusters: int) -> tuple[Made, Path]:
    out = artifact.path.parent / f"clustered-{clusters}"
    out.mkdir(exist_ok=True)
    return cluster.apply(artifact, out, {"clusters": clusters}, CONTEXT), out


def test_a_tensor_has_no_more_values_than_clusters(artifact: Artifact) -> None:
    made, out = clustered(artifact, 16)
    restored = palette.restored(load_file(out / "model.safetensors"), made.extra)
    assert max(len(restored[name].unique()) for name in made.extra["clustered"]) == 16
    assert made.effect["max_distinct_values_per_tensor"] == 16


def test_the_file_takes_four_bits_a_weight_and_little_more(artifact: Artifact) -> None:
    made, out = clustered(artifact, 16)
    ratio = (out / "model.safetensors").stat().st_size / (artifact.path / "model.safetensors").stat().st_size
    assert ratio < 0.2
    assert made.effect["bits_per_weight"] < 6


def test_every_value_is_the_mean_of_its_weights(artifact: Artifact) -> None:
    made, out = clustered(artifact, 4)
    name = "bert.embeddings.word_embeddings.weight"
    before = load_file(artifact.path / "model.safetensors")[name]
    after = palette.restored(load_file(out / "model.safetensors"), made.extra)[name]
    for value in after.unique():
        assert float(before[after == value].mean()) == pytest.approx(float(value), abs=1e-3)


def test_the_same_seed_gives_the_same_file(artifact: Artifact) -> None:
    first = (clustered(artifact, 16)[1] / "model.safetensors").read_bytes()
    assert (clustered(artifact, 16)[1] / "model.safetensors").read_bytes() == first


def test_unpacking_gives_an_ordinary_checkpoint(artifact: Artifact, tmp_path: Path) -> None:
    made, out = clustered(artifact, 16)
    (tmp_path / "unpacked").mkdir()
    packed = Artifact(out, {**artifact.manifest, "extra": made.extra})
    unpacked = hf_clustered.export(packed, tmp_path / "unpacked", CONTEXT)
    model = BertForTokenClassification.from_pretrained(tmp_path / "unpacked")
    assert len(model.bert.encoder.layer[0].output.dense.weight.unique()) == 16
    assert unpacked.extra == {}


def test_a_model_too_small_for_its_palettes_is_an_error(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
                        max_position_embeddings=8)  # fmt: skip
    BertForTokenClassification(config).save_pretrained(tmp_path / "source")
    with pytest.raises(ConversionError, match="ask for fewer"):
        clustered(make_artifact(tmp_path / "source", ENCODER), 256)
