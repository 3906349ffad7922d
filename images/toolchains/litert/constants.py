"""The constants of a TFLite graph: what the passes of this image count their effect by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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
