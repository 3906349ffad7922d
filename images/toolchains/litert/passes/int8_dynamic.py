"""Dynamic INT8 of a TFLite graph: int8 weights with a scale per output channel, activations quantized at run time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.cards import Form, PassCard
from harness.making import Artifact, Context, ConversionError, Made

CARD = PassCard(
    name="int8-dynamic",
    summary="weights in INT8, per output channel; activations quantized at run time; convolutions included",
    accepts=(Form("tflite", "fp32"),),
    makes=Form("tflite", "int8"),
    source="https://github.com/google-ai-edge/ai-edge-quantizer (recipe dynamic_wi8_afp32)",
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize what multiplies by constants: matrix products, convolutions, and embeddings, which are dequantized when read.

    Signatures go on sharing their weights. The effect is counted in the written file; raises ConversionError where no
    weight was quantized.
    """
    from ai_edge_quantizer import quantizer, recipe

    before, after = source.path / "model.tflite", out / "model.tflite"
    work = quantizer.Quantizer(str(before))
    work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    context.progress(0.1, "quantizing")
    work.quantize().export_model(str(after))
    context.progress(0.8, "verifying")
    return Made(["model.tflite"], effect=_effect(before, after), extra=dict(source.manifest["extra"]))


def _effect(before: Path, after: Path) -> dict[str, Any]:
    """What was quantized; raises ConversionError where nothing was."""
    from constants import FLOAT32, INT8, constants

    original, quantized = constants(before, FLOAT32), constants(after, INT8)
    changes = {}
    for buffer, (values, tensor) in quantized.items():
        about = tensor.quantization
        scale = np.ones(len(tensor.shape), int)
        scale[about.quantizedDimension] = -1
        rounded = values.astype(np.float32) * np.reshape(about.scale, scale)  # symmetric: every zero point is 0
        changes[buffer] = float(np.abs(rounded - original[buffer][0]).max())
    if not changes:
        raise ConversionError("the graph has no operator with constant weights to quantize")
    weights = sum(values.size for values, _ in original.values())
    return {
        "tensors_changed": len(changes),
        "share_of_weights_quantized": round(sum(original[b][0].size for b in changes) / weights, 4),
        "bits_per_weight": round(8 * after.stat().st_size / weights, 3),
        "max_abs_weight_change": max(changes.values()),
    }
