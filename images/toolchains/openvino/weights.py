"""Compressed weights of an OpenVINO graph, written and counted: what the passes of this image share."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, ConversionError, Made
from harness.contracts.cards import Parameter

INT8, INT4 = ("u8", "i8"), ("u4", "i4")  # OpenVINO's names of the element types
PRODUCTS = ("MatMul", "Convolution", "GroupConvolution")
#: What every pass to INT4 lets the user choose.
GROUPS: Mapping[str, Parameter] = {
    "group_size": Parameter(64, "weights that share a scale; divides the width of every matrix", minimum=8),
    "symmetric": Parameter(False, "scales only, no zero points: slightly smaller, less exact"),
}
SHAPERS = ("Reshape", "Transpose", "Split", "VariadicSplit", "Squeeze", "Unsqueeze")


def library() -> Any:
    """OpenVINO. It and NNCF report their use over the network when imported; without this optional package they do not."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def read(source: Artifact) -> Any:
    """The graph of an artifact."""
    return library().Core().read_model(source.path / "model.xml")


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
    size = sum((out / name).stat().st_size for name in source.manifest.weights)
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


def write_quantized(quantized: Any, source: Artifact, out: Path) -> dict[str, Any]:
    """Write a graph of static INT8 and count in the written file what reads integers: weights and activations.

    Raises ConversionError where no matrix product or convolution reads both.
    """
    import openvino

    openvino.save_model(quantized, out / "model.xml", compress_to_fp16=False)
    nodes = openvino.Core().read_model(out / "model.xml").get_ops()
    products = [node for node in nodes if node.get_type_name() in PRODUCTS]
    whole = [node for node in products if all(_integers(node.input_value(port).get_node()) for port in (0, 1))]
    if not whole:
        raise ConversionError("NNCF found no matrix product and no convolution in the graph that it would quantize")
    constants = [node for node in nodes if node.get_type_name() == "Constant"]
    stored = [node for node in constants if node.get_element_type().get_type_name() in INT8]
    floats = [node for node in read(source).get_ops() if node.get_type_name() == "Constant" and len(node.shape) > 1]
    total = sum(math.prod(node.shape) for node in floats if node.get_element_type().get_type_name() == "f32")
    size = sum((out / name).stat().st_size for name in source.manifest.weights)
    return {
        "products_quantized": len(whole),
        "tensors_quantized": len(stored),
        "share_of_weights_quantized": round(sum(math.prod(node.shape) for node in stored) / total, 4),
        "bits_per_weight": round(8 * size / total, 3),
    }


def _integers(node: Any) -> bool:
    """Whether a value is quantized: it comes from a FakeQuantize, or from integers that are scaled, changes of shape aside."""
    while node.get_type_name() in SHAPERS:
        node = node.input_value(0).get_node()
    if node.get_type_name() in ("FakeQuantize", "FakeConvert"):
        return True
    while node.get_type_name() in ("Multiply", "Subtract", "Convert"):
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and node.get_element_type().get_type_name() in INT8


def write_int4(graph: Any, source: Artifact, out: Path, parameters: Mapping[str, Any], **options: Any) -> Made:
    """Compress every matrix to INT4 in groups with NNCF; ``options`` are further ones of ``nncf.compress_weights``.

    Raises ConversionError where ``group_size`` does not divide the width of a matrix, or nothing was quantized.
    """
    import nncf

    before = matrices(graph)
    group = parameters["group_size"]
    unfit = sorted({shape[-1] for shape in before.values() if shape[-1] % group})
    if unfit:
        raise ConversionError(f"group_size {group} does not divide {', '.join(map(str, unfit))}, the width of a matrix")
    modes = nncf.CompressWeightsMode
    compressed = nncf.compress_weights(
        graph,
        mode=modes.INT4_SYM if parameters["symmetric"] else modes.INT4_ASYM,
        group_size=group,
        ratio=1.0,
        **options,
    )
    effect = write(compressed, source, out, before)
    if "tensors_in_int4" not in effect:
        raise ConversionError("no matrix was quantized to 4 bits")
    if "subset_size" in options:
        effect["examples"] = options["subset_size"]
    return Made(list(source.manifest.weights), effect=effect, extra=dict(source.manifest.extra))
