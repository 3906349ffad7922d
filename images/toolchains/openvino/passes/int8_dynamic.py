"""Dynamic INT8 by NNCF: weights in INT8, activations quantized at run time by OpenVINO's CPU plugin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, PassCard

CARD = PassCard(
    name="int8-dynamic",
    summary="matrices in INT8 with a scale and a zero point per output channel; activations quantized at run time",
    accepts=(Form("openvino", "fp32"),),
    makes=Form("openvino", "int8"),
    source="https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/weight-compression.html",
    costs="int8",
    # The plugin quantizes the activations of matrix products at run time, those of convolutions it does not.
    calls=("forward", "generate"),
    modalities=("text",),
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Compress every matrix, embeddings included, with NNCF's INT8_ASYM. Raises ConversionError where there is none.

    It is the runtime that quantizes activations, in groups of 32 of a row, where the CPU has dot-product instructions.
    """
    from weights import matrices, read, write

    graph = read(source)
    import nncf

    context.progress(0.1, "compressing")
    before = matrices(graph)
    compressed = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
    effect = write(compressed, source, out, before)
    if not effect["tensors_changed"]:
        raise ConversionError("the graph has no matrix to quantize")
    return Made(list(source.manifest.weights), effect=effect, extra=dict(source.manifest.extra))
