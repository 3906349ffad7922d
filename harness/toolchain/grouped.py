"""4-bit weights in groups, ``hf/int4``: one layout for every pass that makes them and every exporter that reads them.

The layout is that of GPTQ checkpoints without reordering (``desc_act`` false, ``checkpoint_format`` gptq_v2), so that other
libraries read the files too. A linear layer [out, in] has groups of ``g`` neighbours along ``in`` and is stored as:

===========  =========  ================  ==============================================================
``qweight``  int32      [in / 8, out]     eight codes 0..15 of one column, the first in the lowest bits
``qzeros``   int32      [in / g, out / 8]  the codes that mean zero, of eight columns, likewise
``scales``   float16    [in / g, out]     weight = scale * (code - zero)
===========  =========  ================  ==============================================================

All other tensors are bfloat16, the type in which PyTorch's 4-bit kernels compute. torch is imported inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, ConversionError, Made
from harness.contracts.cards import Form, Parameter
from harness.toolchain.checkpoint import WEIGHTS, amend_config, bits_per_weight, copy_companions, empty_model, tensors

FORM = Form("hf", "int4")
BITS = 4
PER_WORD = 8  # codes in an int32
PARTS = ("qweight", "qzeros", "scales")
#: Sizes for which PyTorch and ONNX Runtime have kernels.
GROUPS = (32, 64, 128, 256)

#: What every pass to this form lets the user choose, besides what is its own.
PARAMETERS: Mapping[str, Parameter] = {
    "group_size": Parameter(
        64, "weights that share a scale, 32, 64, 128 or 256; divides the width of every matrix", minimum=32, maximum=256
    ),
    "symmetric": Parameter(False, "code 8 means zero everywhere: no zero points to fit, less exact"),
}


@dataclass(frozen=True)
class Grouped:
    """The numbers of one linear layer, unpacked."""

    codes: Any  # uint8 [out, in], 0..15
    zeros: Any  # uint8 [out, in / group], 0..15
    scales: Any  # float16 [out, in / group]

    @property
    def group(self) -> int:
        """Weights that share a scale."""
        return int(self.codes.shape[1] // self.scales.shape[1])

    def dequantized(self) -> Any:
        """float32 [out, in]."""
        rows, columns = self.codes.shape
        centered = self.codes.view(rows, -1, self.group).float() - self.zeros.float()[..., None]
        return (centered * self.scales.float()[..., None]).view(rows, columns)


def pack(layer: Grouped) -> dict[str, Any]:
    """The tensors of :data:`PARTS` for one layer."""
    packed = _pack(layer.codes.T), _pack(layer.zeros).T, layer.scales.half().T
    return {part: tensor.contiguous() for part, tensor in zip(PARTS, packed, strict=True)}


def unpack(qweight: Any, qzeros: Any, scales: Any) -> Grouped:
    """What :func:`pack` packed."""
    return Grouped(_unpack(qweight).T.contiguous(), _unpack(qzeros.T.contiguous()).contiguous(), scales.T.contiguous())


def _pack(codes: Any) -> Any:
    """uint8 [8 n, m] -> int32 [n, m]."""
    import torch

    nibbles = codes.to(torch.int32).reshape(-1, PER_WORD, codes.shape[1])
    words = torch.zeros_like(nibbles[:, 0])
    for place in range(PER_WORD):
        words |= nibbles[:, place] << (BITS * place)
    return words


def _unpack(words: Any) -> Any:
    """int32 [n, m] -> uint8 [8 n, m]."""
    import torch

    nibbles = torch.stack([(words >> (BITS * place)) & 15 for place in range(PER_WORD)], dim=1)
    return nibbles.reshape(-1, words.shape[1]).to(torch.uint8)


def linear_layers(source: Artifact, auto_class: str, stored: Collection[str], group: int) -> list[str]:
    """The linear layers whose weight is in the file. A head that is tied to the embedding has none.

    Raises ConversionError where there is none, or one does not divide into groups.
    """
    import torch

    if group not in GROUPS:
        raise ConversionError(f"group_size {group} has no kernels; choose one of {', '.join(map(str, GROUPS))}")
    modules = empty_model(source.path, auto_class).named_modules()
    found = {name: m for name, m in modules if type(m) is torch.nn.Linear and f"{name}.weight" in stored}
    if not found:
        raise ConversionError("the model has no linear layer to quantize")
    widths = {module.in_features for module in found.values()}
    if unfit := sorted(width for width in widths if width % group):
        raise ConversionError(
            f"group_size {group} does not divide {', '.join(map(str, unfit))}, the width of a matrix; try "
            f"{max((g for g in GROUPS if all(width % g == 0 for width in widths)), default='another method')}"
        )
    if any(module.out_features % PER_WORD for module in found.values()):
        raise ConversionError(f"a matrix has a height that {PER_WORD} does not divide: it cannot be packed")
    return list(found)


def write(
    source: Artifact, out: Path, layers: Mapping[str, Grouped], others: Mapping[str, Any], symmetric: bool
) -> Made:
    """Write the checkpoint: ``layers`` packed, ``others`` in bfloat16; what was reached is read from the written file."""
    import torch
    from safetensors.torch import save_file

    stored = {name: t.to(torch.bfloat16) if t.is_floating_point() else t for name, t in others.items()}
    for name, layer in layers.items():
        stored |= {f"{name}.{part}": tensor for part, tensor in pack(layer).items()}
    (group,) = {layer.group for layer in layers.values()}
    copy_companions(source, out)
    layout = {"bits": BITS, "group_size": group, "sym": symmetric, "desc_act": False, "lm_head": False}
    method = {"quant_method": "gptq", "checkpoint_format": "gptq_v2", "pack_dtype": "int32", **layout}
    amend_config(out, dtype="bfloat16", quantization_config=method)
    save_file(stored, out / WEIGHTS, {"format": "pt"})
    effect = _effect(tensors(source), out / WEIGHTS)
    return Made([WEIGHTS], effect=effect, extra={"quantized_linears": list(layers)})


def read(file: Path) -> tuple[dict[str, Grouped], dict[str, Any]]:
    """The layers of an ``hf/int4`` file, unpacked, and its other tensors as they are stored."""
    from safetensors.torch import load_file

    stored = load_file(file)
    names = [name.removesuffix(".qweight") for name in stored if name.endswith(".qweight")]
    layers = {name: unpack(*(stored.pop(f"{name}.{part}") for part in PARTS)) for name in names}
    return layers, stored


def _effect(original: Mapping[str, Any], after: Path) -> dict[str, Any]:
    """How much was quantized, how small it is, and how far the weights moved, relative to their own size."""
    layers, _ = read(after)
    weights = sum(tensor.numel() for tensor in original.values())
    quantized = sum(layer.codes.numel() for layer in layers.values())
    packed_bits = sum(layer.codes.numel() * BITS + layer.scales.numel() * (16 + BITS) for layer in layers.values())
    return {
        "tensors_quantized": len(layers),
        "share_of_weights_quantized": round(quantized / weights, 4),
        "bits_per_weight": bits_per_weight(after, weights),
        "bits_per_quantized_weight": round(packed_bits / quantized, 3),
        "most_distinct_codes": max(int(layer.codes.unique().numel()) for layer in layers.values()),
        "zero_points_used": max(int(layer.zeros.unique().numel()) for layer in layers.values()),
        "relative_weight_change": _relative_change(original, layers),
    }


def _relative_change(original: Mapping[str, Any], layers: Mapping[str, Grouped]) -> float:
    """Norm of the change of all quantized weights over the norm of the weights."""
    changed = sum(
        float((layer.dequantized() - original[f"{n}.weight"].float()).square().sum()) for n, layer in layers.items()
    )
    whole = sum(float(original[f"{name}.weight"].float().square().sum()) for name in layers)
    return round(math.sqrt(changed / whole), 4)
