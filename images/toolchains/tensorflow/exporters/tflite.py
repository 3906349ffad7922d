"""Keras model -> TFLite flatbuffer by TensorFlow's own converter; the batch stays open."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.parity import require_close

CARD = ExporterCard(
    name="tflite",
    summary="convert a Keras model to a TFLite graph, weights in fp32, for any batch",
    accepts=(Form("keras", "fp32"),),
    makes=Form("tflite", "fp32"),
    source="https://ai.google.dev/edge/litert/conversion/tensorflow/convert_tf",
    calls=("forward",),
    modalities=("image",),
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Convert the Keras file among the weights, then run both on the same images, at two batches.

    The model takes ``pixel_values`` [batch, channels, height, width] and returns logits: where its layers want the channels
    last, it holds the transposition itself. Raises ConversionError where the logits differ by more than rounding.
    """
    from keras_models import load
    from tflite_graphs import GRAPH, converter, run, samples

    model = load(source, context)
    context.progress(0.2, "converting")
    (out / GRAPH).write_bytes(converter(model).convert())
    context.progress(0.8, "comparing")
    differences = [
        require_close(np.asarray(model(pixels, training=False)), run(out / GRAPH, pixels))
        for pixels in samples(source, context.use)
    ]
    return Made([GRAPH], effect={"max_abs_logit_difference": max(differences)})
