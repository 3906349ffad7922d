"""INT8 weights as llama.cpp has them: Q8_0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, PassCard

CARD = PassCard(
    name="int8-dynamic",
    summary="matrices in llama.cpp's Q8_0: INT8 with a scale for each 32 weights; activations in 8-bit blocks at run time",
    accepts=(Form("gguf", "fp32"),),
    makes=Form("gguf", "q8_0"),
    source="https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize/README.md",
    costs="int8",
    calls=("generate",),
    modalities=("text",),
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize to Q8_0."""
    from ggml import quantize

    return quantize(source, out, "Q8_0", context)
