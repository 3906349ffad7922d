"""Checkpoints of several weight files: passes that read tensors see all of them, and write one file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertForTokenClassification

from harness.contracts.artifact import Artifact
from harness.toolchain.checkpoint import load_model
from tests.passes import tiny
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from exporters import hf4  # noqa: E402
from passes import fp16, int8_dynamic  # noqa: E402


@pytest.fixture
def whole(tmp_path: Path) -> Artifact:
    return tiny.checkpoint(tiny.ENCODER, tmp_path)


@pytest.fixture
def sharded(whole: Artifact, tmp_path: Path) -> Artifact:
    """The same checkpoint in several files."""
    folder = tmp_path / "sharded"
    load_model(whole.path, whole.manifest.auto_class).save_pretrained(folder, max_shard_size="100KB")
    tiny.tokenizer(pads=True).save_pretrained(folder)
    files = sorted(file.name for file in folder.glob("*.safetensors"))
    assert len(files) > 2
    return tiny.artifact(folder, "hf", tiny.ENCODER, files)


@pytest.mark.parametrize("module", [fp16, int8_dynamic])
def test_a_pass_makes_of_shards_what_it_makes_of_one_file(
    module: ModuleType, whole: Artifact, sharded: Artifact, steps: Steps
) -> None:
    made = [steps.apply(module, source)[0] for source in (whole, sharded)]
    assert all(each.manifest.weights == ["model.safetensors"] for each in made)
    assert not any(list(each.path.glob("*.index.json")) for each in made)
    one, other = (load_file(each.weights[0]) for each in made)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_copies_weights_copies_all_shards_and_their_table_of_contents(sharded: Artifact, steps: Steps) -> None:
    made, _ = steps.export(hf4, sharded)
    assert made.manifest.weights == sharded.manifest.weights
    before, after = (BertForTokenClassification.from_pretrained(each.path) for each in (sharded, made))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
