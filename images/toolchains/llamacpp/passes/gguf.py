"""Quantize a GGUF file to one of llama.cpp's block formats, with llama.cpp's own choice of a type for every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import CostsBy, Form, Parameter, PassCard

#: Every type that llama.cpp quantizes a dense model to without an importance matrix, from 8 bits a weight down, and what it
#: may cost.
TYPES = {
    **dict.fromkeys(("Q8_0", "Q6_K"), "int8"),
    **dict.fromkeys(("Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0"), "int4"),
    **dict.fromkeys(("Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS"), "int4"),
    **dict.fromkeys(("Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "Q2_K"), "other"),
}

CARD = PassCard(
    name="gguf",
    summary="quantize to a block format of llama.cpp, by rounding: no calibration data, no importance matrix",
    accepts=(Form("gguf", "fp32"), Form("gguf", "fp16")),
    makes=Form("gguf", "{type}"),
    source="https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize/README.md",
    costs=CostsBy("type", TYPES),
    calls=("generate",),
    modalities=("text",),
    parameters={"type": Parameter("Q4_K_M", "llama.cpp's name of the mix of formats", choices=tuple(TYPES))},
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize to the type that was asked for."""
    from ggml import quantize

    return quantize(source, out, parameters["type"], context)
