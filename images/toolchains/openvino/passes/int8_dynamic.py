"""Dynamic INT8 by NNCF: weights in INT8, activations quantized at run time by OpenVINO's CPU plugin."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cards import Form, PassCard
from harness.making import Artifact, Context, ConversionError, Made

CARD = PassCard(
    name="int8-dynamic",
    summary="matrices in INT8 with a scale and a zero point per output channel; activations quantized at run time",
    accepts=(Form("openvino", "fp32"),),
    makes=Form("openvino", "int8"),
    source="https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/weight-compression.html",
    # The plugin quantizes the activations of matrix products at run time, those of convolutions it does not.
    tasks=("text-generation", "token-classification", "text-classification"),
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Compress every matrix, embeddings included, with NNCF's INT8_ASYM. Raises ConversionError where there is none.

    It is the runtime that quantizes activations, in groups of 32 of a row, where the CPU has dot-product instructions.
    """
    # OpenVINO and NNCF report their use over the network when imported; without this optional package they do not.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import nncf
    import openvino

    graph = openvino.Core().read_model(source.path / "model.xml")
    matrices = _matrices(graph)
    context.progress(0.1, "compressing")
    compressed = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
    openvino.save_model(compressed, out / "model.xml", compress_to_fp16=False)
    files = list(source.manifest["weights"])
    size = sum((out / name).stat().st_size for name in files)
    effect = _effect(matrices, openvino.Core().read_model(out / "model.xml"), size)
    return Made(files, effect=effect, extra=dict(source.manifest["extra"]))


def _matrices(graph: Any) -> dict[str, int]:
    """Name -> number of weights of every fp32 constant of two dimensions or more."""
    nodes = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Constant"]
    floats = [node for node in nodes if node.get_element_type().get_type_name() == "f32" and len(node.shape) > 1]
    return {node.get_friendly_name(): node.data.size for node in floats}


def _effect(matrices: Mapping[str, int], written: Any, size: int) -> dict[str, Any]:
    """What was quantized, counted in the written graph, where weights keep their names; ``size`` in bytes."""
    types = {node.get_friendly_name(): node.get_output_element_type(0).get_type_name() for node in written.get_ops()}
    quantized = [name for name in matrices if types.get(name) in ("u8", "i8")]
    if not quantized:
        raise ConversionError("the graph has no matrix to quantize")
    weights = sum(matrices.values())
    return {
        "tensors_changed": len(quantized),
        "share_of_weights_quantized": round(sum(matrices[name] for name in quantized) / weights, 4),
        "bits_per_weight": round(8 * size / weights, 3),
    }
