"""Static INT8 of a Keras model on the way to TFLite: weights and activations in int8, ranges read off training images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="int8-static",
    summary="weights and activations in INT8 by TensorFlow's converter, calibrated; logits in float32",
    accepts=(Form("keras", "fp32"),),
    makes=Form("tflite", "int8"),
    source="Jacob et al. 2018, https://arxiv.org/abs/1712.05877; "
    "https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_integer_quant",
    costs="int8",
    calls=("forward",),
    modalities=("image",),
    parameters={
        "examples": Parameter(128, "training images to read ranges off", minimum=1),
        "per_channel": Parameter(
            True, "a scale per filter; false: one a tensor, which keeps a clustered model's values few"
        ),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Convert with the range of every activation over examples that the seed chooses; the effect is counted in the graph."""
    import tensorflow as tf
    from keras_models import Examples, load
    from tflite_graphs import GRAPH, converter, effect

    model = load(source, context)
    pixels = Examples.of(context).pixels
    count = min(parameters["examples"], len(pixels))
    chosen = pixels[np.random.default_rng(context.seed).choice(len(pixels), count, replace=False)]
    context.progress(0.2, f"calibrating on {count} images")
    work = converter(model, parameters["per_channel"])
    work.optimizations = [tf.lite.Optimize.DEFAULT]
    work.representative_dataset = lambda: ([image[None]] for image in chosen)
    (out / GRAPH).write_bytes(work.convert())
    context.progress(0.8, "verifying")
    found = effect(out / GRAPH, np.int8, model, [chosen], model.count_params())
    return Made([GRAPH], effect={"examples": count, **found})
