"""INT4 weights by NNCF, rounded to nearest in groups; the embedding, and a head tied to it, in INT8."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cards import Form, Parameter, PassCard
from harness.making import Artifact, Context, ConversionError, Made

CARD = PassCard(
    name="int4",
    summary="matrices of a language model in INT4 with a scale per group, rounded to nearest; embedding and head in INT8",
    accepts=(Form("openvino", "fp32"),),
    makes=Form("openvino", "int4"),
    source="https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/weight-compression/"
    "4-bit-weight-quantization.html",
    tasks=("text-generation",),
    parameters={
        "group_size": Parameter(64, "weights that share a scale; divides the width of every matrix", minimum=8),
        "symmetric": Parameter(False, "scales only, no zero points: slightly smaller, less exact"),
    },
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Compress every matrix. Raises ConversionError where ``group_size`` divides none, or not all, of the widths.

    The runtime may quantize activations to INT8 besides: that is its setting, not the artifact's.
    """
    # OpenVINO and NNCF report their use over the network when imported; without this optional package they do not.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import nncf
    import openvino

    graph = openvino.Core().read_model(source.path / "model.xml")
    matrices = _matrices(graph)
    group = parameters["group_size"]
    unfit = sorted({shape[-1] for shape in matrices.values() if shape[-1] % group})
    if unfit:
        raise ConversionError(f"group_size {group} does not divide {', '.join(map(str, unfit))}, the width of a matrix")
    context.progress(0.1, "compressing")
    modes = nncf.CompressWeightsMode
    mode = modes.INT4_SYM if parameters["symmetric"] else modes.INT4_ASYM
    compressed = nncf.compress_weights(graph, mode=mode, group_size=group, ratio=1.0)
    openvino.save_model(compressed, out / "model.xml", compress_to_fp16=False)
    files = list(source.manifest["weights"])
    size = sum((out / name).stat().st_size for name in files)
    effect = _effect(matrices, openvino.Core().read_model(out / "model.xml"), size)
    return Made(files, effect=effect, extra=dict(source.manifest["extra"]))


def _matrices(graph: Any) -> dict[str, list[int]]:
    """Name -> shape of every fp32 matrix, [out, in]."""
    nodes = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Constant"]
    floats = [node for node in nodes if node.get_element_type().get_type_name() == "f32" and len(node.shape) == 2]
    return {node.get_friendly_name(): list(node.shape) for node in floats}


def _effect(matrices: Mapping[str, list[int]], written: Any, size: int) -> dict[str, Any]:
    """What was quantized, counted in the written graph, where weights keep their names; ``size`` in bytes."""
    types = {node.get_friendly_name(): node.get_output_element_type(0).get_type_name() for node in written.get_ops()}
    weights: Counter[str] = Counter()
    tensors: Counter[str] = Counter()
    for name, (rows, columns) in matrices.items():
        kind = types.get(name, "gone")
        weights[kind] += rows * columns
        tensors[kind] += 1
    if not tensors["u4"] + tensors["i4"]:
        raise ConversionError("no matrix was quantized to 4 bits")
    total = weights.total()
    return {
        "tensors_changed": sum(tensors[kind] for kind in ("u4", "i4", "u8", "i8")),
        "tensors_in_int4": tensors["u4"] + tensors["i4"],
        "share_of_weights_in_int4": round((weights["u4"] + weights["i4"]) / total, 4),
        "share_of_weights_quantized": round(sum(weights[kind] for kind in ("u4", "i4", "u8", "i8")) / total, 4),
        "bits_per_weight": round(8 * size / total, 3),
    }
