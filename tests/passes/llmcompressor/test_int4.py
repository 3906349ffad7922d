"""GPTQ and AWQ: 4-bit layers that answer like the library's own, an untouched head, and fewer errors than rounding."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.contracts.artifact import Artifact, ConversionError
from harness.toolchain.grouped import read
from harness.toolchain.parity import TOLERANCE
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/llmcompressor")]

from passes import awq, gptq  # noqa: E402

HEAD = "model.embed_tokens.weight"  # tied


Quantize = Callable[..., tuple[Artifact, dict[str, Any]]]


@pytest.fixture
def quantize(steps: Steps, artifact: Artifact) -> Quantize:
    """Apply a pass: what was written, and the effect."""

    def apply(module: ModuleType, **given: Any) -> tuple[Artifact, dict[str, Any]]:
        return steps.apply(module, artifact, **{"group_size": 32, "samples": 4, "sequence_length": 16, **given})

    return apply


@pytest.mark.parametrize("module", [gptq, awq])
@pytest.mark.parametrize("symmetric", [False, True])
def test_every_layer_but_the_tied_head_is_in_4_bits(
    module: ModuleType, symmetric: bool, artifact: Artifact, quantize: Quantize
) -> None:
    made, effect = quantize(module, symmetric=symmetric)
    layers, others = read(made.weights[0])
    assert effect["tensors_quantized"] == len(layers) == 14
    assert all((layer.zeros == 8).all() for layer in layers.values()) or not symmetric
    assert torch.equal(others[HEAD], load_file(artifact.weights[0])[HEAD].bfloat16())
    assert effect["max_abs_logit_difference"] < TOLERANCE


def test_gptq_changes_no_other_tensor_and_awq_the_norms(artifact: Artifact, quantize: Quantize) -> None:
    assert quantize(gptq)[1]["other_tensors_changed"] == 0
    made, effect = quantize(awq)
    assert effect["other_tensors_changed"] > 0
    assert "relative_weight_change" not in effect
    assert read(made.weights[0])[1].keys() <= load_file(artifact.weights[0]).keys()


def test_weights_of_gptq_are_not_the_nearest(artifact: Artifact, quantize: Quantize) -> None:
    layers, _ = read(quantize(gptq)[0].weights[0])
    before = load_file(artifact.weights[0])
    distances = {name: layer.scales.float().repeat_interleave(32, dim=1) for name, layer in layers.items()}
    moved = [
        ((layer.dequantized() - before[f"{name}.weight"]).abs() > 0.51 * distances[name]).any()
        for name, layer in layers.items()
    ]
    assert sum(moved) > len(moved) / 2


def test_the_same_seed_gives_the_same_file(quantize: Quantize) -> None:
    first, second = (read(quantize(gptq)[0].weights[0])[0] for _ in range(2))
    assert all(torch.equal(first[name].codes, second[name].codes) for name in first)


def test_the_configuration_tells_the_layout(quantize: Quantize) -> None:
    made, _ = quantize(awq)
    config = json.loads((made.path / "config.json").read_text("utf-8"))
    assert config["quantization_config"]["group_size"] == 32


def test_a_group_that_does_not_divide_a_width_is_refused(quantize: Quantize) -> None:
    with pytest.raises(ConversionError, match="group_size 128 does not divide 64, the width of a matrix; try 64"):
        quantize(gptq, group_size=128)
