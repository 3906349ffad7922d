"""Static INT8 of a TFLite graph: weights and activations in INT8, ranges of activations calibrated beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.data import calibration_rows

CARD = PassCard(
    name="int8-static",
    summary="weights and activations in INT8, calibrated; inputs and outputs stay fp32",
    accepts=(Form("tflite", "fp32"),),
    makes=Form("tflite", "int8"),
    source="https://github.com/google-ai-edge/ai-edge-quantizer (recipe static_wi8_ai8)",
    costs="int8",
    calls=("forward",),
    modalities=("image",),
    parameters={"examples": Parameter(64, "training rows to calibrate on", minimum=1)},
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize every operator that has an integer kernel with rows of the train split in ``context.inputs["calibration"]``.

    Weights are symmetric with a scale per output channel, activations have a zero point. Raises ConversionError where no
    weight was quantized.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from constants import quantized

    before, after = source.path / "model.tflite", out / "model.tflite"
    rows = _examples(before, context, parameters["examples"])
    work = quantizer.Quantizer(str(before))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):  # the worker gives and reads floats
        work.update_quantization_recipe(regex=".*", operation_name=end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    context.progress(0.1, f"calibrating on {len(next(iter(rows.values())))} rows")
    ranges = work.calibrate(rows)
    context.progress(0.6, "quantizing")
    work.quantize(ranges).export_model(str(after))
    context.progress(0.8, "verifying")
    effect = {"examples": len(next(iter(rows.values()))), **quantized(before, after)}
    return Made(["model.tflite"], effect=effect, extra=dict(source.manifest.extra))


def _examples(file: Path, context: Context, wanted: int) -> dict[str, list[dict[str, Any]]]:
    """Signature -> its inputs, of as many training rows as wanted."""
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(str(file)).get_signature_list()
    rows = calibration_rows(context, wanted)
    return {
        name: [{port: row[port].astype(np.float32) for port in about["inputs"]} for row in rows]
        for name, about in signatures.items()
    }
