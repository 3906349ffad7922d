"""GPTQ by NNCF: INT4 weights, each column rounded so that the columns after it make up for the error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weights import GROUPS

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="gptq",
    summary="matrices of a language model in INT4, rounding errors compensated, by NNCF; embedding and head in INT8",
    accepts=(Form("openvino", "fp32"),),
    makes=Form("openvino", "int4"),
    source="Frantar et al., 2022, https://arxiv.org/abs/2210.17323; "
    "https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/weight-compression/"
    "4-bit-weight-quantization.html",
    costs="int4",
    calls=("generate",),
    modalities=("text",),
    parameters={
        **GROUPS,
        "samples": Parameter(16, "training rows to calibrate on", minimum=1),
        "sequence_length": Parameter(256, "tokens of a row that are used", minimum=8),
        "damping": Parameter(0.1, "added to the Hessian's diagonal, as a share of its mean", minimum=1e-6, maximum=1.0),
        "scale_estimation": Parameter(False, "choose scales by the error of the layer's output, too: slower"),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Compress every matrix, layer after layer, each calibrated on what the compressed ones before it give.

    Raises ConversionError where ``group_size`` divides not all of the widths.
    """
    from calibration import feeds
    from weights import read, write_int4

    graph = read(source)
    rows = feeds(graph, context, parameters["samples"], parameters["sequence_length"])
    import nncf

    context.progress(0.1, f"calibrating on {len(rows)} rows")
    advanced = nncf.AdvancedCompressionParameters(
        gptq_params=nncf.AdvancedGPTQParameters(damp_percent=parameters["damping"], subset_size=len(rows))
    )
    return write_int4(
        graph,
        source,
        out,
        parameters,
        dataset=nncf.Dataset(rows),
        subset_size=len(rows),
        gptq=True,
        scale_estimation=parameters["scale_estimation"] or None,
        advanced_parameters=advanced,
    )
