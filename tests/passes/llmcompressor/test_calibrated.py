"""Calibrated pruning: half of every layer, pairs of four, heads and all else untouched. Runs in llm-compressor's image."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.contracts.artifact import Artifact, Context, ConversionError, Made

IMAGE = Path(__file__).parents[3] / "images/toolchains/llmcompressor"
sys.path[:0] = [str(IMAGE)]

from passes import sparsegpt, wanda  # noqa: E402

HEAD = "model.embed_tokens.weight"  # tied


def pruned(
    module: object, artifact: Artifact, context: Context, **given: object
) -> tuple[Made, dict[str, torch.Tensor]]:
    out = artifact.path.parent / "out"
    out.mkdir(exist_ok=True)
    parameters = module.CARD.complete({"samples": 4, "sequence_length": 16, **given})  # type: ignore[attr-defined]
    made = module.apply(artifact, out, parameters, context)  # type: ignore[attr-defined]
    return made, load_file(out / "model.safetensors")


@pytest.mark.parametrize("module", [sparsegpt, wanda])
def test_half_of_every_layer_is_zero_and_the_tied_head_is_not(
    module: object, artifact: Artifact, context: Context
) -> None:
    made, after = pruned(module, artifact, context)
    assert made.effect["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert made.effect["tensors_pruned"] == 14
    assert torch.equal(after[HEAD], load_file(artifact.path / "model.safetensors")[HEAD])


def test_two_of_four_neighbours_are_zero_everywhere(artifact: Artifact, context: Context) -> None:
    made, _ = pruned(wanda, artifact, context, pattern="2:4")
    assert made.effect["share_of_groups_in_pattern"] == 1


def test_wanda_leaves_the_weights_that_stay_as_they_were(artifact: Artifact, context: Context) -> None:
    _, after = pruned(wanda, artifact, context)
    before = load_file(artifact.path / "model.safetensors")
    for name, tensor in after.items():
        assert torch.equal(tensor, torch.where(tensor == 0, tensor, before[name]))


def test_a_pattern_with_another_sparsity_is_refused(artifact: Artifact, context: Context) -> None:
    with pytest.raises(ConversionError, match="2:4"):
        pruned(wanda, artifact, context, pattern="2:4", sparsity=0.7)
