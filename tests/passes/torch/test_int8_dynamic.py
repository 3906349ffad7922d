"""Dynamic INT8: a byte and a row's scale for each weight of a linear layer, all else untouched, run by PyTorch's kernels."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import answer, drift
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from passes import fp16, int8_dynamic  # noqa: E402

LAYERS = {tiny.ENCODER: 2 * 6 + 1, tiny.IMAGES: 1, tiny.LANGUAGE: 2 * 7}  # the tied head is none of them


def weights(artifact: Artifact) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(artifact.path / "model.safetensors")
    return tensors


@pytest.mark.parametrize("task", LAYERS)
def test_every_linear_layer_is_rounded_to_the_nearest_step_of_its_row(task: str, steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, effect = steps.apply(int8_dynamic, source)
    before, after = weights(source), weights(made)
    layers = made.manifest.extra["quantized_linears"]
    assert len(layers) == effect["tensors_changed"] == LAYERS[task]
    changes = []
    for name in layers:
        codes, scales = after[f"{name}.weight"], after[f"{name}.weight_scale"]
        assert (codes.dtype, scales.shape) == (torch.int8, codes.shape[:1])
        change = (codes * scales[:, None] - before[f"{name}.weight"]).abs()
        assert (change <= 0.501 * scales[:, None]).all()
        changes.append(float(change.max()))
    assert effect["max_abs_weight_change"] == pytest.approx(max(changes), rel=1e-3)


@pytest.mark.parametrize("task", LAYERS)
def test_all_else_stays_as_it_was(task: str, steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, _ = steps.apply(int8_dynamic, source)
    before, after = weights(source), weights(made)
    quantized = {f"{name}.weight" for name in made.manifest.extra["quantized_linears"]}
    assert after.keys() - before.keys() == {f"{name}_scale" for name in quantized}
    assert all(torch.equal(after[name], before[name]) for name in before.keys() - quantized)


@pytest.mark.parametrize("task", LAYERS)
def test_the_effect_tells_what_the_file_holds(task: str, steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, effect = steps.apply(int8_dynamic, source)
    count = sum(tensor.numel() for tensor in weights(source).values())
    codes = sum(tensor.numel() for tensor in weights(made).values() if tensor.dtype == torch.int8)
    assert effect["share_of_weights_quantized"] == pytest.approx(codes / count, abs=1e-4)
    assert effect["bits_per_weight"] == pytest.approx(8 * made.weights[0].stat().st_size / count, abs=1e-3)


@pytest.mark.parametrize("task", LAYERS)
def test_pytorch_computes_nearly_the_same_in_int8(task: str, steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, _ = steps.apply(int8_dynamic, source)
    inputs = tiny.inputs(task)
    exact, _ = answer(source, "pytorch", inputs)
    rounded, precision = answer(made, "pytorch", inputs)
    assert precision == "int8"
    assert 0 < drift(exact, rounded) < 0.15


def test_a_head_of_its_own_is_quantized_too(steps: Steps, tmp_path: Path) -> None:
    made, effect = steps.apply(int8_dynamic, tiny.checkpoint(tiny.LANGUAGE, tmp_path, tie_word_embeddings=False))
    assert effect["tensors_changed"] == LAYERS[tiny.LANGUAGE] + 1
    assert "lm_head" in made.manifest.extra["quantized_linears"]


def test_a_model_without_linear_layers_is_an_error(steps: Steps, tmp_path: Path) -> None:
    """A head for no label is the identity: what is left of a ResNet are convolutions."""
    with pytest.raises(ConversionError, match="no linear layer"):
        steps.apply(int8_dynamic, tiny.checkpoint(tiny.IMAGES, tmp_path, num_labels=0))


def test_a_checkpoint_in_float16_is_refused(steps: Steps, tmp_path: Path) -> None:
    half, _ = steps.apply(fp16, tiny.checkpoint(tiny.ENCODER, tmp_path))
    with pytest.raises(ConversionError, match="int8-dynamic takes hf/fp32, not hf/fp16"):
        steps.apply(int8_dynamic, half)
