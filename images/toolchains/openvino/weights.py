"""Compressed weights of an OpenVINO graph, written and counted: what the passes of this image share."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from harness.making import Artifact

INT8, INT4 = ("u8", "i8"), ("u4", "i4")  # OpenVINO's names of the element types


def read(source: Artifact) -> Any:
    """The graph of an artifact."""
    # OpenVINO and NNCF report their use over the network when imported; without this optional package they do not.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino.Core().read_model(source.path / "model.xml")


def matrices(graph: Any) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every fp32 matrix, (out, in)."""
    nodes = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Constant"]
    floats = [node for node in nodes if node.get_element_type().get_type_name() == "f32" and len(node.shape) == 2]
    return {node.get_friendly_name(): tuple(node.shape) for node in floats}


def write(compressed: Any, source: Artifact, out: Path, before: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Write the graph and count in the written file, where weights keep their names, what became of ``before``.

    Returns the effect: tensors and share of weights that were quantized, bits per weight, and how much of it is in INT4.
    """
    import openvino

    openvino.save_model(compressed, out / "model.xml", compress_to_fp16=False)
    written = openvino.Core().read_model(out / "model.xml").get_ops()
    types = {node.get_friendly_name(): node.get_output_element_type(0).get_type_name() for node in written}
    tensors: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for name, shape in before.items():
        kind = types.get(name, "gone")
        tensors[kind] += 1
        weights[kind] += math.prod(shape)
    size = sum((out / name).stat().st_size for name in source.manifest["weights"])
    total = weights.total()
    effect = {
        "tensors_changed": sum(tensors[kind] for kind in INT8 + INT4),
        "share_of_weights_quantized": round(sum(weights[kind] for kind in INT8 + INT4) / total, 4),
        "bits_per_weight": round(8 * size / total, 3),
    }
    if in_int4 := sum(tensors[kind] for kind in INT4):
        share = round(sum(weights[kind] for kind in INT4) / total, 4)
        effect |= {"tensors_in_int4": in_int4, "share_of_weights_in_int4": share}
    return effect
