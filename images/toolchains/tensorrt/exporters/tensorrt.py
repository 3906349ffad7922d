"""ONNX graph -> TensorRT engine, built on the GPU that will run it: TensorRT times its kernels there."""

from __future__ import annotations

from pathlib import Path

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import ExporterCard, Form

CARD = ExporterCard(
    name="tensorrt",
    summary="strongly typed TensorRT engine for the GPU that builds it, dynamic batch, length and image size",
    accepts=(Form("onnx", "fp32"), Form("onnx", "fp16"), Form("onnx", "int8-qdq")),
    makes=Form("tensorrt", "{precision}"),
    source="https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html",
    calls=("forward",),
    modalities=("text", "image"),
    device="cuda",
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Build; raises ConversionError where TensorRT cannot."""
    import tensorrt_bindings
    from engine import build_engine

    return build_engine(tensorrt_bindings, source, out, context)
