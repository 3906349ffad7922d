"""4-bit weights in groups, rounded to nearest: what calibrated methods (GPTQ, AWQ) are to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, PassCard
from harness.toolchain.checkpoint import tensors
from harness.toolchain.grouped import FORM, PARAMETERS, Grouped, linear_layers, write

CARD = PassCard(
    name="int4",
    summary="linear layers in INT4 with a scale per group, rounded to nearest by torchao; all else in bfloat16",
    accepts=(Form("hf", "fp32"),),
    makes=FORM,
    source="Dettmers and Zettlemoyer 2023, The case for 4-bit precision, https://arxiv.org/abs/2212.09720; "
    "https://docs.pytorch.org/ao/stable/api_reference/api_ref_quantization.html",
    costs="int4",
    calls=("generate",),
    modalities=("text",),
    parameters=PARAMETERS,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Round every linear layer but a head that is tied to the embedding. Needs no data.

    Raises ConversionError where ``group_size`` does not divide a width.
    """
    stored = tensors(source)
    group, symmetric = parameters["group_size"], parameters["symmetric"]
    names = linear_layers(source, context.auto_class, stored, group)
    layers: dict[str, Grouped] = {}
    for index, name in enumerate(names):
        context.progress(index / len(names), name)
        layers[name] = rounded(stored.pop(f"{name}.weight"), group, symmetric)
    return write(source, out, layers, stored, symmetric)


def rounded(weight: Any, group: int, symmetric: bool) -> Grouped:
    """``weight`` [out, in] rounded to the nearest of 16 levels between the smallest and the largest of its group and zero.

    The scale is rounded to float16, as it is stored, before the codes are chosen.
    """
    import torch
    from torchao.quantization.quant_primitives import MappingType, choose_qparams_affine, quantize_affine

    blocks, levels = (1, group), (0, 15)
    scale, zero = choose_qparams_affine(
        weight.float(),
        MappingType.SYMMETRIC if symmetric else MappingType.ASYMMETRIC,
        blocks,
        torch.uint8,
        *levels,
        eps=torch.finfo(torch.float16).tiny,
        scale_dtype=torch.float16,
        zero_point_dtype=torch.int32,
    )
    codes = quantize_affine(weight.float(), blocks, scale.float(), zero, torch.uint8, *levels)
    rows = len(weight)  # torchao drops the dimension of groups where a row is one group
    return Grouped(codes, zero.to(torch.uint8).view(rows, -1), scale.view(rows, -1))
