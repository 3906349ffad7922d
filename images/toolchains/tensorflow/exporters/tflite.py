"""Keras model -> TFLite flatbuffer by TensorFlow's own converter; the batch stays open."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from harness.cards import ExporterCard, Form
from harness.making import Artifact, Context, Made
from harness.toolchain.parity import Array, require_close, sample_inputs

CARD = ExporterCard(
    name="tflite",
    summary="convert a Keras model to a TFLite graph, weights in fp32, for any batch",
    accepts=(Form("keras", "fp32"),),
    makes=Form("tflite", "fp32"),
    source="https://ai.google.dev/edge/litert/conversion/tensorflow/convert_tf",
    tasks=("image-classification",),
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Convert the Keras file among the weights, then run both on the same images, at two batches.

    The model takes ``pixel_values`` [batch, channels, height, width] and returns logits: where its layers want the channels
    last, it holds the transposition itself. Raises ConversionError where the logits differ by more than rounding.
    """
    import tensorflow as tf
    import tf_keras

    (file,) = source.weights
    model = tf_keras.models.load_model(file, compile=False)
    context.progress(0.2, "converting")
    (out / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    context.progress(0.8, "comparing")
    config = SimpleNamespace(**json.loads((source.path / "config.json").read_text("utf-8")))
    differences = []
    for batch in (1, 3):
        pixels = sample_inputs(source.path, config, context.task, batch)["pixel_values"]
        expected = np.asarray(model(pixels, training=False))
        differences.append(require_close(expected, _run(out / "model.tflite", pixels)))
    return Made(["model.tflite"], effect={"max_abs_logit_difference": max(differences)})


def _run(file: Path, pixels: Array) -> Array:
    """The logits [batch, classes] of the graph."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(file))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], pixels.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], pixels)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(given["index"]))
