"""Checkpoints of several weight files: passes that read tensors see all of them, and write one file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from tests.passes.contexts import ENCODER, make_artifact, make_context
from transformers import BertConfig, BertForTokenClassification

from harness.contracts.artifact import Artifact

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from exporters import hf4  # noqa: E402
from passes import fp16, int8_dynamic  # noqa: E402


@pytest.fixture
def model() -> BertForTokenClassification:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    return BertForTokenClassification(config)


@pytest.fixture
def sharded(model: BertForTokenClassification, tmp_path: Path) -> Artifact:
    model.save_pretrained(tmp_path / "sharded", max_shard_size="40KB")
    files = sorted(file.name for file in (tmp_path / "sharded").glob("*.safetensors"))
    assert len(files) > 2
    return make_artifact(tmp_path / "sharded", ENCODER, weights=tuple(files))


@pytest.mark.parametrize("module", [fp16, int8_dynamic])
def test_a_pass_makes_of_shards_what_it_makes_of_one_file(
    module: ModuleType, model: BertForTokenClassification, sharded: Artifact, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "whole")
    whole = make_artifact(tmp_path / "whole", ENCODER)
    written = []
    for source in (whole, sharded):
        out = tmp_path / f"out-{source.path.name}"
        out.mkdir()
        assert module.apply(source, out, {}, make_context(ENCODER)).weights == ["model.safetensors"]
        assert not list(out.glob("*.index.json"))
        written.append(load_file(out / "model.safetensors"))
    one, other = written
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_copies_weights_copies_all_shards_and_their_table_of_contents(
    sharded: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {"input_ids": torch.arange(6).reshape(2, 3).numpy()}  # the tiny model has no tokenizer
    monkeypatch.setattr(hf4, "sample_inputs", lambda *_, **__: ids)
    out = tmp_path / "hf4"
    out.mkdir()
    made = hf4.export(sharded, out, make_context(ENCODER))
    assert made.weights == [file.name for file in sharded.weights]
    before, after = (BertForTokenClassification.from_pretrained(folder) for folder in (sharded.path, out))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
