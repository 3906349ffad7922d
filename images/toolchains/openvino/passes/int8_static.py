"""Static INT8 by NNCF: weights and activations of matrix products and convolutions, ranges calibrated beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="int8-static",
    summary="matrix products and convolutions in INT8 by NNCF: weights per output channel, ranges of activations calibrated",
    accepts=(Form("openvino", "fp32"),),
    makes=Form("openvino", "int8-static"),
    source="https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/"
    "quantizing-models-post-training/basic-quantization-flow.html",
    costs="int8",
    calls=("forward",),
    modalities=("text", "image"),
    parameters={
        "examples": Parameter(64, "training rows to calibrate on", minimum=1),
        "preset": Parameter(
            "mixed",
            "performance: activations symmetric; mixed: with a zero point, more exact after GELU and the like",
            choices=("performance", "mixed"),
        ),
        "smooth_quant": Parameter(
            0.95,
            "how much of the activations' outliers moves into the weights of a transformer (SmoothQuant)",
            0.0,
            1.0,
        ),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize with rows of the training split; encoders as NNCF's transformer type, which leaves out what ruins them.

    Raises ConversionError where nothing can be quantized.
    """
    from calibration import feeds
    from weights import read, write_quantized

    graph = read(source)
    import nncf

    rows = feeds(graph, context, parameters["examples"])
    encoder = context.use.modality != "image"
    alpha = nncf.AdvancedSmoothQuantParameters(matmul=parameters["smooth_quant"])
    context.progress(0.1, f"calibrating on {len(rows)} rows")
    quantized = nncf.quantize(
        graph,
        nncf.Dataset(rows),
        preset=nncf.QuantizationPreset(parameters["preset"]),
        subset_size=len(rows),
        fast_bias_correction=True,
        model_type=nncf.ModelType.TRANSFORMER if encoder else None,
        advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=alpha) if encoder else None,
    )
    context.progress(0.9, "verifying")
    effect = {"examples": len(rows), **write_quantized(quantized, source, out)}
    return Made(list(source.manifest.weights), effect=effect, extra=dict(source.manifest.extra))
