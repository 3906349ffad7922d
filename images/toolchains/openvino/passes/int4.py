"""INT4 weights by NNCF, rounded to nearest in groups; the embedding, and a head tied to it, in INT8."""

from __future__ import annotations

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
    from weights import matrices, read, write

    graph = read(source)
    import nncf

    before = matrices(graph)
    group = parameters["group_size"]
    unfit = sorted({shape[-1] for shape in before.values() if shape[-1] % group})
    if unfit:
        raise ConversionError(f"group_size {group} does not divide {', '.join(map(str, unfit))}, the width of a matrix")
    context.progress(0.1, "compressing")
    modes = nncf.CompressWeightsMode
    mode = modes.INT4_SYM if parameters["symmetric"] else modes.INT4_ASYM
    compressed = nncf.compress_weights(graph, mode=mode, group_size=group, ratio=1.0)
    effect = write(compressed, source, out, before)
    if "tensors_in_int4" not in effect:
        raise ConversionError("no matrix was quantized to 4 bits")
    return Made(list(source.manifest["weights"]), effect=effect, extra=dict(source.manifest["extra"]))
