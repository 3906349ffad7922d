"""Round the weights of a TFLite graph to float16; the runtime makes float32 of them when it loads the graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, PassCard

CARD = PassCard(
    name="fp16",
    summary="weights stored in float16 and dequantized when loaded; arithmetic stays float32 on CPUs",
    accepts=(Form("tflite", "fp32"),),
    makes=Form("tflite", "fp16"),
    source="https://github.com/google-ai-edge/ai-edge-quantizer (float casting)",
    costs="fp16",
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Round what the operators with weights read: matrix products, convolutions, embeddings.

    The effect is counted in the written file. Raises ConversionError where no weight was rounded, or where one would become
    infinite.
    """
    from ai_edge_quantizer import qtyping, quantizer

    before, after = source.path / "model.tflite", out / "model.tflite"
    work = quantizer.Quantizer(str(before))
    work.add_weight_only_config(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        num_bits=16,
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    context.progress(0.1, "rounding")
    work.quantize().export_model(str(after))
    context.progress(0.8, "verifying")
    return Made(["model.tflite"], effect=_effect(before, after), extra=dict(source.manifest.extra))


def _effect(before: Path, after: Path) -> dict[str, Any]:
    """What was rounded; raises ConversionError where nothing was, or where a weight became infinite."""
    from constants import FLOAT16, FLOAT32, constants

    original = {number: values for number, (values, _) in constants(before, FLOAT32).items()}
    rounded = {number: values for number, (values, _) in constants(after, FLOAT16).items()}
    if not rounded:
        raise ConversionError("the graph has no operator with constant weights to round")
    if not all(np.isfinite(values).all() for values in rounded.values()):
        raise ConversionError("the graph holds weights beyond the range of float16")
    weights = sum(values.size for values in original.values())
    return {
        "tensors_changed": len(rounded),
        "share_of_weights_rounded": round(sum(values.size for values in rounded.values()) / weights, 4),
        "bits_per_weight": round(8 * after.stat().st_size / weights, 3),
        "max_abs_weight_change": max(
            float(np.abs(v.astype(np.float32) - original[n]).max()) for n, v in rounded.items()
        ),
    }
