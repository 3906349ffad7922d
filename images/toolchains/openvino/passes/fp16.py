"""Weights of an OpenVINO graph in FP16, converted to fp32 where the CPU computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, PassCard

CARD = PassCard(
    name="fp16",
    summary="weights stored in float16, as openvino.save_model compresses them",
    accepts=(Form("openvino", "fp32"),),
    makes=Form("openvino", "fp16"),
    source="Micikevicius et al. 2018, Mixed Precision Training, https://arxiv.org/abs/1710.03740; "
    "https://docs.openvino.ai/2026/openvino-workflow/model-preparation/conversion-parameters.html",
    costs="fp16",
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Cast every fp32 constant. Raises ConversionError where a weight is beyond the range of float16."""
    from weights import read

    graph = read(source)
    import openvino

    context.progress(0.1, "casting")
    _require_range(graph)
    openvino.save_model(graph, out / "model.xml", compress_to_fp16=True)
    context.progress(0.8, "verifying")
    constants = [n for n in openvino.Core().read_model(out / "model.xml").get_ops() if n.get_type_name() == "Constant"]
    kinds = [node.get_element_type().get_type_name() for node in constants]
    weights = list(source.manifest.weights)
    before, after = (sum((folder / name).stat().st_size for name in weights) for folder in (source.path, out))
    effect = {"tensors_changed": kinds.count("f16"), "bits_per_weight": round(32 * after / before, 3)}
    if not effect["tensors_changed"]:
        raise ConversionError("the graph has no fp32 constant to cast")
    return Made(weights, effect=effect, extra=dict(source.manifest.extra))


def _require_range(graph: Any) -> None:
    """OpenVINO clips in silence what float16 cannot hold. In a single number, the bound of a mask, that does no harm."""
    import numpy as np

    limit = np.finfo(np.float16).max
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "f32":
            finite = node.data[np.isfinite(node.data)]
            if finite.size > 1 and np.abs(finite).max() > limit:
                raise ConversionError(f"{node.get_friendly_name()} holds weights beyond the range of float16")
