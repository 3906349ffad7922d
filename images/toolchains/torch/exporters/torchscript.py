"""hf checkpoint -> TorchScript: encoders and image models, traced, at any batch and sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.tracing import Graph, traced

CARD = ExporterCard(
    name="torchscript",
    summary="trace into TorchScript, at any batch and sequence",
    accepts=(Form("hf", "fp32"), Form("hf", "bf16"), Form("hf", "fp16")),
    makes=Form("torchscript", "{precision}"),
    source="https://docs.pytorch.org/docs/stable/generated/torch.jit.trace.html",
    calls=("forward",),
    modalities=("text", "image"),
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Write ``model.pt``. Raises ConversionError where it differs from the checkpoint at another shape."""
    import torch

    def trace(model: Any, tensors: tuple[Any, ...]) -> Graph:
        with torch.no_grad():
            torch.jit.trace(model, tensors, check_trace=False).save(out / "model.pt")
        graph: Graph = torch.jit.load(out / "model.pt")
        return graph

    return traced(source, context, "model.pt", trace)
