"""INT4 weights by NNCF, rounded to nearest in groups; the embedding, and a head tied to it, in INT8."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weights import GROUPS

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, PassCard

CARD = PassCard(
    name="int4",
    summary="matrices of a language model in INT4 with a scale per group, rounded to nearest; embedding and head in INT8",
    accepts=(Form("openvino", "fp32"),),
    makes=Form("openvino", "int4"),
    source="https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/weight-compression/"
    "4-bit-weight-quantization.html",
    costs="int4",
    calls=("generate",),
    modalities=("text",),
    parameters=GROUPS,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Compress every matrix. Raises ConversionError where ``group_size`` divides none, or not all, of the widths.

    The runtime may quantize activations to INT8 besides: that is its setting, not the artifact's.
    """
    from weights import read, write_int4

    context.progress(0.1, "compressing")
    return write_int4(read(source), source, out, parameters)
