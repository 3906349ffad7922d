"""hf checkpoint -> torch.export's ExportedProgram: encoders and image models, with dynamic batch and sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.tracing import Graph, open_dimensions, traced

CARD = ExporterCard(
    name="torch-export",
    summary="export to an ExportedProgram with dynamic batch and sequence",
    accepts=(Form("hf", "fp32"), Form("hf", "bf16"), Form("hf", "fp16")),
    makes=Form("torch-export", "{precision}"),
    source="https://docs.pytorch.org/docs/stable/user_guide/torch_compiler/export.html",
    calls=("forward",),
    modalities=("text", "image"),
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Write ``model.pt2``. Raises ConversionError where it differs from the checkpoint at another shape."""
    import torch

    def trace(model: Any, tensors: tuple[Any, ...]) -> Graph:
        program = torch.export.export(model, tensors, dynamic_shapes=(open_dimensions(tensors),))
        torch.export.save(program, out / "model.pt2")
        graph: Graph = torch.export.load(out / "model.pt2").module()
        return graph

    return traced(source, context, "model.pt2", trace)
