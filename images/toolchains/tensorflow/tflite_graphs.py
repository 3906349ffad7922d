"""TFLite graphs of Keras models: converting, running, and counting what was written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, ConversionError
from harness.contracts.cards import Use
from harness.toolchain.parity import sample_inputs

GRAPH = "model.tflite"

#: What is done to weights that end up in a type.
DONE: dict[type[np.generic], str] = {np.float16: "rounded", np.int8: "quantized"}


def converter(model: Any, per_channel: bool = True) -> Any:
    """TensorFlow's converter of a Keras model; what it makes takes and gives float32 at any batch.

    Where weights are quantized, filters get a scale per channel or, as matrices always do, one scale: older runtimes take the
    first scale of a matrix for all of its channels.
    """
    import tensorflow as tf

    made = tf.lite.TFLiteConverter.from_keras_model(model)
    made._experimental_disable_per_channel_quantization_for_dense_layers = True  # documented, in spite of its name
    made._experimental_disable_per_channel = not per_channel
    return made


def samples(source: Artifact, use: Use) -> list[Array]:
    """Smooth random images [batch, channels, height, width] at two batches, as the model takes them."""
    config = SimpleNamespace(**json.loads((source.path / "config.json").read_text("utf-8")))
    return [sample_inputs(source.path, config, use, batch)["pixel_values"] for batch in (1, 3)]


def run(file: Path, pixels: Array) -> Array:
    """The logits [batch, classes] of a graph."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(file))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], pixels.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], pixels)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(given["index"]))


@dataclass(frozen=True)
class Constant:
    """A matrix or a filter in a graph; ``axis`` is the dimension that has a scale for every index, if one has."""

    values: Array
    axis: int | None

    @property
    def distinct(self) -> int:
        """The largest number of different values that share a scale."""
        parts = [self.values] if self.axis is None else np.moveaxis(self.values, self.axis, 0)
        return max(len(np.unique(part)) for part in parts)


def constants(file: Path, kind: type[np.generic]) -> list[Constant]:
    """Every constant of one type and of two dimensions or more."""
    from tensorflow.lite.python.schema_py_generated import TensorType
    from tensorflow.lite.tools.flatbuffer_utils import read_model

    numbers: dict[type[np.generic], int] = {np.float16: TensorType.FLOAT16, np.int8: TensorType.INT8}
    graph = read_model(str(file))
    found = {
        tensor.buffer: Constant(np.frombuffer(bytes(data), kind).reshape(tensor.shape), _axis(tensor.quantization))
        for part in graph.subgraphs
        for tensor in part.tensors
        if tensor.type == numbers[kind] and len(tensor.shape) > 1
        if (data := graph.buffers[tensor.buffer].data) is not None and len(data)
    }
    return list(found.values())


def _axis(quantization: Any) -> int | None:
    several = quantization is not None and quantization.scale is not None and len(quantization.scale) > 1
    return int(quantization.quantizedDimension) if several else None


def effect(file: Path, kind: type[np.generic], model: Any, inputs: list[Array], weights: int) -> dict[str, Any]:
    """What became of a Keras model's ``weights`` (so many) in a graph, and of its logits on ``inputs``.

    Raises ConversionError where no matrix and no filter is stored as ``kind``, or where a float16 one became infinite.
    """
    changed = constants(file, kind)
    if not changed:
        raise ConversionError(f"the converter stored no matrix and no filter as {np.dtype(kind).name}")
    if not all(np.isfinite(constant.values).all() for constant in changed):
        raise ConversionError("the model holds weights beyond the range of float16")
    change = max(
        float(np.abs(np.asarray(model(pixels, training=False)) - run(file, pixels)).max()) for pixels in inputs
    )
    return {
        "tensors_changed": len(changed),
        f"share_of_weights_{DONE[kind]}": round(sum(constant.values.size for constant in changed) / weights, 4),
        "bits_per_weight": round(8 * file.stat().st_size / weights, 3),
        "max_distinct_values_per_scale": max(constant.distinct for constant in changed),
        "max_distinct_values_per_tensor": max(len(np.unique(constant.values)) for constant in changed),
        "max_abs_logit_difference": change,
    }
