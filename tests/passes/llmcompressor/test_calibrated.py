"""Calibrated pruning: half of every layer, pairs of four, heads and all else untouched. Runs in llm-compressor's image."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/llmcompressor")]

from passes import sparsegpt, wanda  # noqa: E402

HEAD = "model.embed_tokens.weight"  # tied


Prune = Callable[..., tuple[dict[str, torch.Tensor], dict[str, Any]]]


@pytest.fixture
def prune(steps: Steps, artifact: Artifact) -> Prune:
    """Apply a pass: the tensors that were written, and the effect."""

    def apply(module: ModuleType, **given: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        made, effect = steps.apply(module, artifact, samples=4, sequence_length=16, **given)
        return load_file(made.weights[0]), effect

    return apply


@pytest.mark.parametrize("module", [sparsegpt, wanda])
def test_half_of_every_layer_is_zero_and_the_tied_head_is_not(
    module: ModuleType, artifact: Artifact, prune: Prune
) -> None:
    after, effect = prune(module)
    assert effect["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert effect["tensors_pruned"] == 14
    assert torch.equal(after[HEAD], load_file(artifact.path / "model.safetensors")[HEAD])


def test_two_of_four_neighbours_are_zero_everywhere(prune: Prune) -> None:
    _, effect = prune(wanda, pattern="2:4")
    assert effect["share_of_groups_in_pattern"] == 1


def test_wanda_leaves_the_weights_that_stay_as_they_were(artifact: Artifact, prune: Prune) -> None:
    after, _ = prune(wanda)
    before = load_file(artifact.path / "model.safetensors")
    for name, tensor in after.items():
        assert torch.equal(tensor, torch.where(tensor == 0, tensor, before[name]))


def test_a_pattern_with_another_sparsity_is_refused(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="2:4"):
        prune(wanda, pattern="2:4", sparsity=0.7)
