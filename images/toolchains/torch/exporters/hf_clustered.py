"""Clustered checkpoint -> hf checkpoint: every weight written out as the fp32 value that its index stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.checkpoint import WEIGHTS, copy_companions, tensors

CARD = ExporterCard(
    name="hf-clustered",
    summary="write a clustered checkpoint's weights out in fp32, each with the value that it shares",
    accepts=(Form("hf", "clustered"),),
    makes=Form("hf", "fp32"),
    source="Han, Mao & Dally 2016, Deep Compression, https://arxiv.org/abs/1510.00149",
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Look every index up. The numbers are those that the PyTorch runtime computes with: none is rounded."""
    import palette
    from safetensors.torch import save_file

    extra: dict[str, Any] = dict(source.manifest.extra)
    weights = palette.restored(tensors(source), extra)
    copy_companions(source, out)
    save_file(weights, out / WEIGHTS, {"format": "pt"})
    distinct = max(len(weights[name].unique()) for name in extra["clustered"])
    rest = {name: value for name, value in extra.items() if name not in ("clustered", "index_bits")}
    return Made([WEIGHTS], effect={"max_distinct_values_per_tensor": distinct}, extra=rest)
