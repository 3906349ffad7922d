"""4-bit weights in groups: the layout, the rounding, and PyTorch's kernel. Run with the torch toolchain's Python."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from harness.contracts.artifact import ConversionError
from harness.toolchain.grouped import Grouped, pack, read, unpack
from tests.passes import tiny
from tests.passes.runtimes import answer, drift
from tests.passes.steps import Steps

IMAGES = Path(__file__).parents[3] / "images"
sys.path[:0] = [str(IMAGES / "toolchains/torch")]

from passes import int4  # noqa: E402

HEAD = "model.embed_tokens.weight"  # tied


def load(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tested_{Path(file).stem}", IMAGES / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(48, 192, generator=torch.Generator().manual_seed(0))


def test_unpacking_gives_back_what_was_packed() -> None:
    random = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 16, (48, 192), generator=random).to(torch.uint8)
    zeros = torch.randint(0, 16, (48, 3), generator=random).to(torch.uint8)
    layer = Grouped(codes, zeros, torch.rand(48, 3, generator=random).half())
    again = unpack(**pack(layer))
    assert torch.equal(again.codes, codes)
    assert torch.equal(again.zeros, zeros)
    assert torch.equal(again.scales, layer.scales)


@pytest.mark.parametrize("symmetric", [False, True])
def test_no_weight_moves_by_more_than_a_step(weight: torch.Tensor, symmetric: bool) -> None:
    layer = int4.rounded(weight, 64, symmetric)
    step = layer.scales.float().repeat_interleave(64, dim=1)
    assert ((layer.dequantized() - weight).abs() <= 1.01 * step).all()
    assert not symmetric or bool((layer.zeros == 8).all())


@pytest.mark.parametrize("group", [32, 64])
def test_the_kernel_multiplies_by_the_weights_that_were_stored(weight: torch.Tensor, group: int) -> None:
    layer = int4.rounded(weight, group, False)
    linear = load("runtimes/pytorch/int4.py").Int4Linear(**pack(layer), bias=None, device="cpu")
    inputs = torch.randn(2, 5, 192, generator=torch.Generator().manual_seed(1))
    expected = inputs @ layer.dequantized().T
    difference = (linear(inputs.bfloat16()).float() - expected).abs().max()
    assert difference <= 0.02 * expected.abs().max()  # bfloat16 has 8 bits


@pytest.mark.parametrize(("group", "symmetric"), [(32, False), (64, False), (64, True)])
def test_every_layer_but_the_tied_head_is_in_4_bits(group: int, symmetric: bool, steps: Steps, tmp_path: Path) -> None:
    """The width is 64: with 64 weights a group, a row of most matrices is one group."""
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path)
    made, effect = steps.apply(int4, source, group_size=group, symmetric=symmetric)
    layers, others = read(made.path / "model.safetensors")
    before = load_file(source.path / "model.safetensors")
    assert effect["tensors_quantized"] == len(layers) == 2 * 7
    assert {layer.group for layer in layers.values()} == {group}
    assert torch.equal(others[HEAD], before[HEAD].bfloat16())
    count = sum(layer.codes.numel() for layer in layers.values())
    assert effect["share_of_weights_quantized"] == pytest.approx(
        count / sum(tensor.numel() for tensor in before.values()), abs=1e-4
    )
    assert effect["bits_per_quantized_weight"] == pytest.approx(4 + (16 + 4) / group, abs=1e-3)
    assert effect["most_distinct_codes"] <= 16
    assert (effect["zero_points_used"] == 1) is symmetric


def test_pytorch_computes_nearly_the_same_and_smaller_groups_come_nearer(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path)
    inputs = tiny.inputs(tiny.LANGUAGE)
    exact, _ = answer(source, "pytorch", inputs)
    drifts = []
    for group in (32, 64):
        rounded, precision = answer(steps.apply(int4, source, group_size=group)[0], "pytorch", inputs)
        assert precision == "bf16"  # 4-bit weights are expanded inside the kernel
        drifts.append(drift(exact, rounded))
    assert 0 < drifts[0] < drifts[1] < 0.4


@pytest.mark.parametrize(("group", "message"), [(128, "does not divide 64"), (48, "has no kernels")])
def test_a_group_that_cannot_be_is_refused(group: int, message: str, steps: Steps, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=message):
        steps.apply(int4, tiny.checkpoint(tiny.LANGUAGE, tmp_path), group_size=group)


def test_a_model_of_another_task_without_linear_layers_is_refused(steps: Steps, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no linear layer"):
        steps.apply(int4, tiny.checkpoint(tiny.IMAGES, tmp_path, num_labels=0))
