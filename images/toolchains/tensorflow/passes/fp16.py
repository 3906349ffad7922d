"""Round the weights of a Keras model to float16 on the way to TFLite; the runtime makes float32 of them when it loads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, PassCard

CARD = PassCard(
    name="fp16",
    summary="weights stored in float16 by TensorFlow's converter; arithmetic stays float32 on CPUs",
    accepts=(Form("keras", "fp32"),),
    makes=Form("tflite", "fp16"),
    source="https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_float16_quant",
    costs="fp16",
    calls=("forward",),
    modalities=("image",),
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Convert; the effect is counted in the written graph.

    Raises ConversionError where a weight is beyond the range of float16: the converter would clip it in silence.
    """
    import tensorflow as tf
    from keras_models import load
    from tflite_graphs import GRAPH, converter, effect, samples

    model = load(source, context)
    if any(np.abs(values).max(initial=0) > np.finfo(np.float16).max for values in model.get_weights()):
        raise ConversionError("the model holds weights beyond the range of float16")
    context.progress(0.2, "converting")
    work = converter(model)
    work.optimizations = [tf.lite.Optimize.DEFAULT]
    work.target_spec.supported_types = [tf.float16]
    (out / GRAPH).write_bytes(work.convert())
    context.progress(0.8, "verifying")
    return Made(
        [GRAPH], effect=effect(out / GRAPH, np.float16, model, samples(source, context.use), model.count_params())
    )
