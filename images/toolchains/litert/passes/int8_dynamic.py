"""Dynamic INT8 of a TFLite graph: int8 weights with a scale per output channel, activations quantized at run time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, PassCard

CARD = PassCard(
    name="int8-dynamic",
    summary="weights in INT8, per output channel; activations quantized at run time; convolutions included",
    accepts=(Form("tflite", "fp32"),),
    makes=Form("tflite", "int8"),
    source="https://github.com/google-ai-edge/ai-edge-quantizer (recipe dynamic_wi8_afp32)",
    costs="int8",
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize what multiplies by constants: matrix products, convolutions, and embeddings, which are dequantized when read.

    Signatures go on sharing their weights. The effect is counted in the written file; raises ConversionError where no
    weight was quantized.
    """
    from ai_edge_quantizer import quantizer, recipe
    from constants import quantized

    before, after = source.path / "model.tflite", out / "model.tflite"
    work = quantizer.Quantizer(str(before))
    work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    context.progress(0.1, "quantizing")
    work.quantize().export_model(str(after))
    context.progress(0.8, "verifying")
    return Made(["model.tflite"], effect=quantized(before, after), extra=dict(source.manifest.extra))
