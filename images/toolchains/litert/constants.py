"""The constants of a TFLite graph: what the passes of this image count their effect by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import ConversionError

#: Numbers of the schema's TensorType, and what NumPy calls the same.
FLOAT32, FLOAT16, INT8 = 0, 1, 9
DTYPES: dict[int, type[np.generic]] = {FLOAT32: np.float32, FLOAT16: np.float16, INT8: np.int8}


def constants(file: Path, kind: int) -> dict[int, tuple[Any, Any]]:
    """Every constant of one type: buffer number -> its values in their shape, and one tensor that reads it.

    A buffer keeps its number through a pass and counts once, however many signatures read it.
    """
    from ai_edge_litert.tools.flatbuffer_utils import read_model

    model = read_model(str(file))
    read = {t.buffer: t for graph in model.subgraphs for t in graph.tensors if t.type == kind}
    stored = {number: model.buffers[number].data for number in read}
    return {
        number: (np.frombuffer(bytes(data), DTYPES[kind]).reshape(read[number].shape), read[number])
        for number, data in stored.items()
        if data is not None and len(data)
    }


def quantized(before: Path, after: Path) -> dict[str, Any]:
    """The effect of a pass: which weights became int8, symmetric, and by how much; ConversionError where none did."""
    original, integers = constants(before, FLOAT32), constants(after, INT8)
    changes = {}
    for buffer, (values, tensor) in integers.items():
        if not values.ndim:
            continue  # a factor between operators, no weight
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
