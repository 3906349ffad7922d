"""INT4 in groups by modifiers of llm-compressor: what GPTQ and AWQ share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration import HEADS, calibrate, examples

from harness.contracts.artifact import Artifact, Context, Made
from harness.toolchain.checkpoint import WEIGHTS, load_model, tensors
from harness.toolchain.grouped import Grouped, linear_layers, read, write
from harness.toolchain.parity import require_close, sample_inputs, source_logits

#: The library counts codes from -8, the layout of the file from 0.
LOWEST = -8


def targets(source: Artifact, context: Context, group: int) -> list[str]:
    """The linear layers to quantize: all but the head. Raises ConversionError where the group does not divide a width."""
    names = linear_layers(source, context.auto_class, tensors(source), group)
    return [name for name in names if not name.endswith(HEADS)]


def scheme(layers: list[str], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The library's description of 4-bit weights whose scales are chosen as they are stored: in float16."""
    import torch
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(
        num_bits=4,
        strategy="group",
        group_size=parameters["group_size"],
        symmetric=parameters["symmetric"],
        scale_dtype=torch.float16,
    )
    return {"linear": QuantizationScheme(targets=layers, weights=weights)}


def quantize(
    modifiers: Sequence[Any],
    layers: list[str],
    source: Artifact,
    out: Path,
    parameters: Mapping[str, Any],
    context: Context,
) -> Made:
    """Quantize ``layers`` by ``modifiers``, calibrated on rows of the train split, and write them as ``hf/int4``.

    Raises ConversionError where the written checkpoint answers differently from the quantized model.
    """
    model = load_model(source.path, context.auto_class)
    rows = examples(context, parameters["samples"], parameters["sequence_length"])
    calibrate(model, modifiers, rows, context)
    context.progress(0.9, "writing")
    quantized = {name: _grouped(model.get_submodule(name), parameters["group_size"]) for name in layers}
    weights = {f"{name}.weight" for name in layers}
    before, after = tensors(source), model.state_dict()
    others = {name: after[name].contiguous() for name in before if name not in weights}
    made = write(source, out, quantized, others, parameters["symmetric"])
    changed = sum(not others[name].equal(before[name]) for name in others)
    parity = _parity(model.eval(), weights, source, out, context)
    effect = {"examples": len(rows), **made.effect, "other_tensors_changed": changed, **parity}
    return Made(made.weights, effect, made.extra)


def _grouped(layer: Any, group: int) -> Grouped:
    """The codes of a layer that the library has quantized, whether its weight is rounded yet (GPTQ) or not (AWQ)."""
    import torch

    scales, zeros = layer.weight_scale.detach(), layer.weight_zero_point.detach().float()
    steps = layer.weight.detach().view(len(scales), -1, group) / scales[..., None]
    codes = (steps + zeros[..., None]).round().clamp(LOWEST, LOWEST + 15) - LOWEST
    return Grouped(
        codes.view(layer.weight.shape).to(torch.uint8), (zeros - LOWEST).to(torch.uint8), scales.to(torch.float16)
    )


def _parity(model: Any, weights: set[str], source: Artifact, out: Path, context: Context) -> dict[str, float]:
    """That the written checkpoint, dequantized, gives the logits of the quantized model in memory.

    What is not quantized is stored in bfloat16; it is rounded in memory, too, so that only the layers are compared.
    """
    inputs = sample_inputs(out, model.config, context.use, 2)
    for name, parameter in model.named_parameters():
        if name not in weights and not name.endswith(("weight_scale", "weight_zero_point")):
            parameter.data = parameter.data.bfloat16().float()
    layers, others = read(out / WEIGHTS)
    written = load_model(source.path, context.auto_class)
    stored = {f"{name}.weight": layer.dequantized() for name, layer in layers.items()}
    written.load_state_dict({**{name: tensor.float() for name, tensor in others.items()}, **stored}, strict=False)
    difference = require_close(source_logits(model, inputs), source_logits(written, inputs))
    return {"max_abs_logit_difference": difference}
