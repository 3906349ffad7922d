"""Dynamic-range INT8 of a Keras model on the way to TFLite: int8 weights, activations quantized at run time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="int8-dynamic",
    summary="weights in INT8 by TensorFlow's converter; activations quantized at run time; convolutions included",
    accepts=(Form("keras", "fp32"),),
    makes=Form("tflite", "int8"),
    source="https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quant",
    costs="int8",
    calls=("forward",),
    modalities=("image",),
    parameters={
        "per_channel": Parameter(
            True, "a scale per filter; false: one a tensor, which keeps a clustered model's values few"
        ),
    },
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Convert; the effect is counted in the written graph.

    Raises ConversionError where nothing was quantized: the converter leaves tensors of fewer than 1,024 numbers alone.
    """
    import tensorflow as tf
    from keras_models import load
    from tflite_graphs import GRAPH, converter, effect, samples

    model = load(source, context)
    context.progress(0.2, "converting")
    work = converter(model, parameters["per_channel"])
    work.optimizations = [tf.lite.Optimize.DEFAULT]
    (out / GRAPH).write_bytes(work.convert())
    context.progress(0.8, "verifying")
    return Made([GRAPH], effect=effect(out / GRAPH, np.int8, model, samples(source, context.use), model.count_params()))
