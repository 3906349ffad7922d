"""Dynamic INT8 of linear layers as in torch.ao: int8 weights with a scale per output channel, activations at run time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, PassCard
from harness.toolchain.checkpoint import WEIGHTS, bits_per_weight, copy_companions, empty_model, tensors

CARD = PassCard(
    name="int8-dynamic",
    summary="linear layers in INT8: weights per output channel, activations quantized at run time",
    accepts=(Form("hf", "fp32"),),
    makes=Form("hf", "int8"),
    source="https://docs.pytorch.org/docs/stable/quantization.html (dynamic quantization)",
    costs="int8",
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize the weight of every ``nn.Linear``, symmetric, per output channel, with torch.ao's own observer.

    A language-model head that is tied to the embedding stays fp32: the embedding needs the matrix as it is, so an int8
    copy would make the file larger. The file holds ``<layer>.weight`` as int8 [out, in] and ``<layer>.weight_scale`` as fp32
    [out]; the layers are named in the manifest, ``extra["quantized_linears"]``.
    """
    import torch
    from safetensors.torch import save_file

    stored = tensors(source)
    weights = sum(tensor.numel() for tensor in stored.values())
    modules = empty_model(source.path, context.auto_class).named_modules()
    # A tied head has no tensor of its own in the file.
    linears = [name for name, m in modules if type(m) is torch.nn.Linear and f"{name}.weight" in stored]
    if not linears:
        raise ConversionError("the model has no linear layer to quantize")
    quantized, largest_change = 0, 0.0
    for index, name in enumerate(linears):
        context.progress(index / len(linears), name)
        weight = stored[f"{name}.weight"]
        observer = torch.ao.quantization.default_per_channel_weight_observer()
        observer(weight)
        scale, zero = observer.calculate_qparams()
        packed = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
        stored[f"{name}.weight"], stored[f"{name}.weight_scale"] = packed.int_repr(), scale.float()
        largest_change = max(largest_change, float((packed.dequantize() - weight).abs().max()))
        quantized += weight.numel()
    copy_companions(source, out)
    save_file(stored, out / WEIGHTS, {"format": "pt"})
    effect = {
        "tensors_changed": len(linears),
        "share_of_weights_quantized": round(quantized / weights, 4),
        "bits_per_weight": bits_per_weight(out / WEIGHTS, weights),
        "max_abs_weight_change": largest_change,
    }
    return Made([WEIGHTS], effect=effect, extra={"quantized_linears": linears})
