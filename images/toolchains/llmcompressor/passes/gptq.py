"""GPTQ by llm-compressor: INT4 weights, each column rounded so that the columns after it make up for the error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.grouped import FORM, PARAMETERS

CARD = PassCard(
    name="gptq",
    summary="linear layers in INT4, rounding errors compensated, by llm-compressor (formerly AutoGPTQ); the rest in BF16",
    accepts=(Form("hf", "fp32"),),
    makes=FORM,
    source="Frantar et al., 2022, https://arxiv.org/abs/2210.17323; https://docs.vllm.ai/projects/llm-compressor",
    costs="int4",
    calls=("generate",),
    modalities=("text",),
    parameters={
        **PARAMETERS,
        "samples": Parameter(32, "training rows to calibrate on", minimum=1),
        "sequence_length": Parameter(512, "tokens of a row that are used", minimum=8),
        "block_size": Parameter(128, "columns after which the errors are handed on to all others", minimum=16),
        "damping": Parameter(
            0.01, "added to the Hessian's diagonal, as a share of its mean", minimum=1e-6, maximum=1.0
        ),
        "ordered": Parameter(True, "round the columns with the largest inputs first; the file stays in order"),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize every linear layer but the head, each calibrated on what the quantized ones before it give.

    Raises ConversionError where ``group_size`` does not divide a width.
    """
    from llmcompressor.modifiers.gptq import GPTQModifier
    from quantize import quantize, scheme, targets

    layers = targets(source, context, parameters["group_size"])
    modifier = GPTQModifier(
        config_groups=scheme(layers, parameters),
        block_size=parameters["block_size"],
        dampening_frac=parameters["damping"],
        actorder="static" if parameters["ordered"] else None,
    )
    return quantize([modifier], layers, source, out, parameters, context)
