"""4-bit weights as llama.cpp has them: Q4_K_M."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, PassCard

CARD = PassCard(
    name="int4",
    summary="matrices in llama.cpp's Q4_K_M: 4 bits in blocks, 6 bits for the most sensitive; activations in 8-bit blocks",
    accepts=(Form("gguf", "fp32"),),
    makes=Form("gguf", "q4_k_m"),
    source="https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize/README.md",
    costs="int4",
    calls=("generate",),
    modalities=("text",),
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize to Q4_K_M."""
    from ggml import quantize

    return quantize(source, out, "Q4_K_M", context)
