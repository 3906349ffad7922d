"""4-bit weights in groups: the layout, the rounding, and PyTorch's kernel. Run with the torch toolchain's Python."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from harness.toolchain.grouped import Grouped, pack, unpack

IMAGES = Path(__file__).parents[3] / "images"


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
    layer = load("toolchains/torch/passes/int4.py").rounded(weight, 64, symmetric)
    step = layer.scales.float().repeat_interleave(64, dim=1)
    assert ((layer.dequantized() - weight).abs() <= 1.01 * step).all()
    assert not symmetric or bool((layer.zeros == 8).all())


@pytest.mark.parametrize("group", [32, 64])
def test_the_kernel_multiplies_by_the_weights_that_were_stored(weight: torch.Tensor, group: int) -> None:
    layer = load("toolchains/torch/passes/int4.py").rounded(weight, group, False)
    linear = load("runtimes/pytorch/int4.py").Int4Linear(**pack(layer), bias=None, device="cpu")
    inputs = torch.randn(2, 5, 192, generator=torch.Generator().manual_seed(1))
    expected = inputs @ layer.dequantized().T
    difference = (linear(inputs.bfloat16()).float() - expected).abs().max()
    assert difference <= 0.02 * expected.abs().max()  # bfloat16 has 8 bits
