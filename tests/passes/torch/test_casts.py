"""Casts to float16 and bfloat16: every number in 16 bits, and a checkpoint that transformers loads as it is."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import answer, drift
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from passes import bf16, fp16  # noqa: E402

TASKS = (tiny.ENCODER, tiny.IMAGES, tiny.LANGUAGE)
CASTS = [pytest.param(fp16, torch.float16, id="fp16"), pytest.param(bf16, torch.bfloat16, id="bf16")]
DRIFTS = {"fp16": 0.02, "bf16": 0.15}


def weights(artifact: Artifact) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(artifact.path / "model.safetensors")
    return tensors


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("module", "dtype"), CASTS)
def test_every_weight_is_the_nearest_of_16_bits(
    module: ModuleType, dtype: torch.dtype, task: str, steps: Steps, tmp_path: Path
) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, effect = steps.apply(module, source)
    before, after = weights(source), weights(made)
    floats = [name for name, tensor in before.items() if tensor.is_floating_point()]
    assert all(torch.equal(after[name], before[name].to(dtype)) for name in floats)
    assert effect["tensors_changed"] == len(floats)
    change = max(float((after[name].float() - before[name]).abs().max()) for name in floats)
    assert effect["max_abs_weight_change"] == pytest.approx(change)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("module", "dtype"), CASTS)
def test_pytorch_computes_nearly_the_same_in_that_precision(
    module: ModuleType, dtype: torch.dtype, task: str, steps: Steps, tmp_path: Path
) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, _ = steps.apply(module, source)
    inputs = tiny.inputs(task)
    exact, _ = answer(source, "pytorch", inputs)
    rounded, precision = answer(made, "pytorch", inputs)
    assert precision == made.form.precision == module.CARD.name
    assert 0 < drift(exact, rounded) < DRIFTS[precision]


@pytest.mark.parametrize(("module", "dtype"), CASTS)
def test_the_effect_tells_the_size_of_the_file(
    module: ModuleType, dtype: torch.dtype, steps: Steps, tmp_path: Path
) -> None:
    source = tiny.checkpoint(tiny.ENCODER, tmp_path)
    made, effect = steps.apply(module, source)
    count = sum(tensor.numel() for tensor in weights(made).values())
    assert effect["bits_per_weight"] == pytest.approx(8 * made.weights[0].stat().st_size / count, abs=1e-3)
    assert 16 <= effect["bits_per_weight"] < 17  # names and shapes of the tensors are the rest


def test_a_weight_beyond_float16_is_an_error_that_bfloat16_takes(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.ENCODER, tmp_path)
    tensors = weights(source)
    tensors["classifier.bias"][0] = 1e5
    save_file(tensors, source.path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConversionError, match=r"classifier\.bias holds weights beyond the range of float16"):
        steps.apply(fp16, source)
    made, _ = steps.apply(bf16, source)
    assert float(weights(made)["classifier.bias"][0]) == pytest.approx(1e5, rel=2**-8)


def test_a_checkpoint_is_not_cast_twice(steps: Steps, tmp_path: Path) -> None:
    made, _ = steps.apply(bf16, tiny.checkpoint(tiny.ENCODER, tmp_path))
    with pytest.raises(ConversionError, match="fp16 takes hf/fp32, not hf/bf16"):
        steps.apply(fp16, made)
