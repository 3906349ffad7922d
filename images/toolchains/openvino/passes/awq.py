"""AWQ by NNCF: INT4 weights, salient channels scaled up before rounding, scales chosen by the error of the output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weights import GROUPS

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="awq",
    summary="matrices of a language model in INT4, scaled by their activations first, by NNCF; embedding and head in INT8",
    accepts=(Form("openvino", "fp32"),),
    makes=Form("openvino", "int4"),
    source="Lin et al., 2023, https://arxiv.org/abs/2306.00978; "
    "https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/weight-compression/"
    "4-bit-weight-quantization.html",
    costs="int4",
    calls=("generate",),
    modalities=("text",),
    parameters={
        **GROUPS,
        "samples": Parameter(32, "training rows to calibrate on", minimum=1),
        "sequence_length": Parameter(256, "tokens of a row that are used", minimum=8),
        "scale_estimation": Parameter(True, "then choose every group's scale by the error of the layer's output"),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Compress every matrix. Raises ConversionError where ``group_size`` divides not all of the widths."""
    from calibration import feeds
    from weights import read, write_int4

    graph = read(source)
    rows = feeds(graph, context, parameters["samples"], parameters["sequence_length"])
    import nncf

    context.progress(0.1, f"calibrating on {len(rows)} rows")
    return write_int4(
        graph,
        source,
        out,
        parameters,
        dataset=nncf.Dataset(rows),
        subset_size=len(rows),
        awq=True,
        scale_estimation=parameters["scale_estimation"] or None,
    )
