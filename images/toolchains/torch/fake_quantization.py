"""Quantization-aware training: layers that round as INT8 does while they train, and the integer layers they become.

Weights are int8 with a scale per output channel and no zero point. Activations are uint8 with one range a tensor: that of every
input of a linear or convolutional layer, and of a convolution's output, after its ReLU where it has one. This is what ONNX
Runtime and OpenVINO have integer kernels for. Norms, softmax, GELU and residual sums stay fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import nn
from torch.ao.quantization.fx import _decomposed  # noqa: F401 - registers torch.ops.quantized_decomposed
from torchao.quantization.pt2e import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)

from harness.contracts.artifact import ConversionError

_LAYERS = (nn.Linear, nn.Conv2d)
_INTEGERS = torch.ops.quantized_decomposed


Value: TypeAlias = tuple[int, int]  # a tensor's identity, and how often it was changed in place


class Call(NamedTuple):
    """One call of a module."""

    name: str
    module: nn.Module
    read: Value
    wrote: Value


class FakeQuantized(nn.Module):  # type: ignore[misc]
    """A linear or convolutional layer whose weight and activations are rounded, with gradients straight through.

    ``reads`` and ``writes`` round its input and output; either may be the identity.
    """

    def __init__(self, layer: nn.Module, reads: nn.Module, writes: nn.Module) -> None:
        super().__init__()
        self.layer, self.reads, self.writes = layer, reads, writes
        # A weight is known whole: its range is that of its present values, never an average over steps.
        self.rounding = FakeQuantize(
            MovingAveragePerChannelMinMaxObserver.with_args(averaging_constant=1.0),
            quant_min=-127,
            quant_max=127,
            dtype=torch.int8,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
        )

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """The layer's output, as INT8 would give it."""
        return self.writes(_product(self.layer, self.reads(tensor), self.rounding(self.layer.weight)))


class Integer(nn.Module):  # type: ignore[misc]
    """The same layer with its weight stored in int8: a linear one's as [in, out], a convolution's as it was."""

    def __init__(self, trained: FakeQuantized) -> None:
        super().__init__()
        self.layer, self.reads, self.writes = trained.layer, trained.reads, trained.writes
        weight, scales = trained.layer.weight.detach(), trained.rounding.scale
        zeros = torch.zeros_like(scales, dtype=torch.int64)
        stored = _INTEGERS.quantize_per_channel(weight, scales, zeros, 0, -127, 127, torch.int8)
        self.axis = 1 if isinstance(self.layer, nn.Linear) else 0
        self.register_buffer("weight", stored.t().contiguous() if self.axis else stored)
        self.register_buffer("scales", scales.clone())
        self.register_buffer("zeros", zeros)
        self.layer.weight = None

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """The layer's output, of a weight that is dequantized on the way."""
        weight = _INTEGERS.dequantize_per_channel(
            self.weight, self.scales, self.zeros, self.axis, -127, 127, torch.int8
        )
        if self.axis:
            product = self.reads(tensor) @ weight
            return self.writes(product if self.layer.bias is None else product + self.layer.bias)
        return self.writes(_product(self.layer, self.reads(tensor), weight))


class Rounded(nn.Module):  # type: ignore[misc]
    """Quantize and dequantize with the trained range."""

    def __init__(self, trained: FakeQuantize) -> None:
        super().__init__()
        self.scale, self.zero_point = float(trained.scale), int(trained.zero_point)

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """The value of the nearest step."""
        span = (self.scale, self.zero_point, 0, 255, torch.uint8)
        return _INTEGERS.dequantize_per_tensor(_INTEGERS.quantize_per_tensor(tensor, *span), *span)


def fold_norms(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> int:
    """Fold every batch norm that follows a convolution into it, in place; returns how many.

    What is trained and rounded is then what runs: the product of both (Jacob et al. 2018, 3.2). Their statistics stay as they
    were at the start.
    """
    calls = _calls(model, inputs, (nn.Conv2d, nn.BatchNorm2d))
    wrote = {call.wrote: call for call in calls if isinstance(call.module, nn.Conv2d)}
    pairs = [
        (wrote[call.read], call) for call in calls if isinstance(call.module, nn.BatchNorm2d) and call.read in wrote
    ]
    for convolution, norm in pairs:
        folded = nn.utils.fusion.fuse_conv_bn_eval(convolution.module, norm.module)
        model.set_submodule(convolution.name, folded)
        model.set_submodule(norm.name, nn.Identity())
    return len(pairs)


def fake_quantize(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> int:
    """Replace the layers that ``inputs`` pass through, in place; returns how many.

    Layers that read the same tensor share its range. Raises ConversionError where there are none.
    """
    calls = _calls(model, inputs, (*_LAYERS, nn.ReLU))
    rectified = {call.read: call for call in calls if isinstance(call.module, nn.ReLU)}
    layers = {call.name: call for call in calls if isinstance(call.module, _LAYERS)}
    if not layers:
        raise ConversionError("the model has no linear layer and no convolution to quantize")
    last = {n: rectified.get(call.wrote, call) for n, call in layers.items() if isinstance(call.module, nn.Conv2d)}
    written = {call.wrote for call in last.values()}
    shared: dict[Value, nn.Module] = {}
    for name, call in layers.items():
        reads = nn.Identity() if call.read in written else shared.setdefault(call.read, _activation())
        writes = _activation() if last.get(name) is call else nn.Identity()
        model.set_submodule(name, FakeQuantized(call.module, reads, writes))
    for call in {end.name: end for end in last.values() if isinstance(end.module, nn.ReLU)}.values():
        model.set_submodule(call.name, nn.Sequential(call.module, _activation()))
    return len(layers)


def freeze_ranges(model: nn.Module) -> None:
    """Keep the ranges of all activations as they are; those of weights go on following their weights."""
    for quantizer in _activations(model):
        quantizer.disable_observer()


def to_integers(model: nn.Module) -> None:
    """Make every layer hold its weight in int8 and every activation's range a constant, in place."""
    rounded: dict[nn.Module, nn.Module] = {}
    for quantizer in _activations(model):
        rounded[quantizer] = Rounded(quantizer)
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if module in rounded:
            model.set_submodule(name, rounded[module])
    for name, module in list(model.named_modules()):
        if isinstance(module, FakeQuantized):
            model.set_submodule(name, Integer(module))


def _activation() -> FakeQuantize:
    """A range that follows the smallest and largest value of every batch by a moving average (Jacob et al. 2018, 3.1)."""
    return FakeQuantize(
        MovingAverageMinMaxObserver.with_args(averaging_constant=0.05),
        quant_min=0,
        quant_max=255,
        dtype=torch.uint8,
        qscheme=torch.per_tensor_affine,
    )


def _activations(model: nn.Module) -> list[FakeQuantize]:
    quantizers = [module for module in model.modules() if isinstance(module, FakeQuantize)]
    return [quantizer for quantizer in quantizers if not quantizer.is_per_channel]


def _product(layer: nn.Module, tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if isinstance(layer, nn.Linear):
        return nn.functional.linear(tensor, weight, layer.bias)
    return layer._conv_forward(tensor, weight, layer.bias)  # the one place that knows all padding modes


def _calls(model: nn.Module, inputs: Mapping[str, torch.Tensor], kinds: tuple[type, ...]) -> list[Call]:
    """Every call of a module of these kinds when the model is run on ``inputs``, in order."""
    calls: list[Call] = []
    kept: list[torch.Tensor] = []  # so that no identity is used twice
    names: dict[nn.Module, str] = {m: name for name, m in model.named_modules() if isinstance(m, kinds)}

    def note(module: nn.Module, read: tuple[torch.Tensor, ...], wrote: torch.Tensor) -> None:
        kept.extend((read[0], wrote))
        calls.append(Call(names[module], module, _value(read[0]), _value(wrote)))

    hooks = [module.register_forward_hook(note) for module in names]
    with torch.no_grad():
        model(**inputs)
    for hook in hooks:
        hook.remove()
    return calls


def _value(tensor: torch.Tensor) -> Value:
    return id(tensor), tensor._version
