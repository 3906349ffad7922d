"""GPTQ and AWQ: 4-bit layers that answer like the library's own, an untouched head, and fewer errors than rounding."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.toolchain.grouped import Grouped, read
from harness.toolchain.parity import TOLERANCE

IMAGE = Path(__file__).parents[3] / "images/toolchains/llmcompressor"
sys.path[:0] = [str(IMAGE)]

from passes import awq, gptq  # noqa: E402

HEAD = "model.embed_tokens.weight"  # tied


def quantized(
    module: object, artifact: Artifact, context: Context, **given: object
) -> tuple[Made, dict[str, Grouped], dict[str, torch.Tensor]]:
    out = artifact.path.parent / "out"
    out.mkdir(exist_ok=True)
    parameters = module.CARD.complete({"group_size": 32, "samples": 4, "sequence_length": 16, **given})  # type: ignore[attr-defined]
    made = module.apply(artifact, out, parameters, context)  # type: ignore[attr-defined]
    return made, *read(out / "model.safetensors")


@pytest.mark.parametrize("module", [gptq, awq])
@pytest.mark.parametrize("symmetric", [False, True])
def test_every_layer_but_the_tied_head_is_in_4_bits(
    module: object, symmetric: bool, artifact: Artifact, context: Context
) -> None:
    made, layers, others = quantized(module, artifact, context, symmetric=symmetric)
    assert made.effect["tensors_quantized"] == len(layers) == 14
    assert all((layer.zeros == 8).all() for layer in layers.values()) or not symmetric
    assert torch.equal(others[HEAD], load_file(artifact.path / "model.safetensors")[HEAD].bfloat16())
    assert made.effect["max_abs_logit_difference"] < TOLERANCE


def test_gptq_changes_no_other_tensor_and_awq_the_norms(artifact: Artifact, context: Context) -> None:
    assert quantized(gptq, artifact, context)[0].effect["other_tensors_changed"] == 0
    made, _, others = quantized(awq, artifact, context)
    assert made.effect["other_tensors_changed"] > 0
    assert "relative_weight_change" not in made.effect
    assert others.keys() <= load_file(artifact.path / "model.safetensors").keys()


def test_weights_of_gptq_are_not_the_nearest(artifact: Artifact, context: Context) -> None:
    _, layers, _ = quantized(gptq, artifact, context)
    before = load_file(artifact.path / "model.safetensors")
    steps = {name: layer.scales.float().repeat_interleave(32, dim=1) for name, layer in layers.items()}
    moved = [
        ((layer.dequantized() - before[f"{name}.weight"]).abs() > 0.51 * steps[name]).any()
        for name, layer in layers.items()
    ]
    assert sum(moved) > len(moved) / 2


def test_the_same_seed_gives_the_same_file(artifact: Artifact, context: Context) -> None:
    first, second = (quantized(gptq, artifact, context)[1] for _ in range(2))
    assert all(torch.equal(first[name].codes, second[name].codes) for name in first)


def test_the_configuration_tells_the_layout(artifact: Artifact, context: Context) -> None:
    quantized(awq, artifact, context)
    config = json.loads((artifact.path.parent / "out/config.json").read_text("utf-8"))
    assert config["quantization_config"]["group_size"] == 32


def test_a_group_that_does_not_divide_a_width_is_refused(artifact: Artifact, context: Context) -> None:
    with pytest.raises(ConversionError, match="32"):
        quantized(gptq, artifact, context, group_size=64)
