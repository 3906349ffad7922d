"""Round every floating-point tensor of a checkpoint to bfloat16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, PassCard
from harness.toolchain.checkpoint import cast

CARD = PassCard(
    name="bf16",
    summary="store and compute in bfloat16",
    accepts=(Form("hf", "fp32"),),
    makes=Form("hf", "bf16"),
    source="Kalamkar et al. 2019, A Study of BFLOAT16 for Deep Learning Training, https://arxiv.org/abs/1905.12322",
    costs="bf16",
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Cast; ConversionError where a weight is beyond the range of bfloat16."""
    return cast(source, out, "bfloat16")
