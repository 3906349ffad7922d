"""Round every floating-point tensor of a checkpoint to float16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, PassCard
from harness.toolchain.checkpoint import cast

CARD = PassCard(
    name="fp16",
    summary="store and compute in float16",
    accepts=(Form("hf", "fp32"),),
    makes=Form("hf", "fp16"),
    source="Micikevicius et al. 2018, Mixed Precision Training, https://arxiv.org/abs/1710.03740",
    costs="fp16",
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Cast; ConversionError where a weight is beyond the range of float16."""
    return cast(source, out, "float16")
