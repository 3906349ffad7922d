"""AWQ by llm-compressor: INT4 weights; input channels that matter are scaled up before rounding, and down before the layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.grouped import FORM, PARAMETERS

CARD = PassCard(
    name="awq",
    summary="linear layers in INT4, scaled by their activations first, by llm-compressor (formerly AutoAWQ); the rest in BF16",
    accepts=(Form("hf", "fp32"),),
    makes=FORM,
    source="Lin et al., 2023, https://arxiv.org/abs/2306.00978; https://docs.vllm.ai/projects/llm-compressor",
    costs="int4",
    calls=("generate",),
    modalities=("text",),
    parameters={
        **PARAMETERS,
        "samples": Parameter(8, "training rows to calibrate on; each is run for every exponent", minimum=1),
        "sequence_length": Parameter(256, "tokens of a row that are used", minimum=8),
        "grid": Parameter(10, "exponents between 0 and 1 that are tried for the scales of a layer", minimum=3),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize every linear layer but the head; the scales go into the norms and layers before, which change with them.

    Raises ConversionError where ``group_size`` does not divide a width.
    """
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from llmcompressor.pipelines.cache import IntermediatesCache
    from quantize import quantize, scheme, targets

    layers = targets(source, context, parameters["group_size"])
    IntermediatesCache.pin_memory = lambda *_: None  # the library calls it without an accelerator, too, where it fails
    modifiers = [AWQModifier(n_grid=parameters["grid"]), QuantizationModifier(config_groups=scheme(layers, parameters))]
    made = quantize(modifiers, layers, source, out, parameters, context)
    made.effect.pop("relative_weight_change")  # scaled weights are not to be compared with those of the source
    return made
