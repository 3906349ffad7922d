"""ONNX graph -> TensorRT-RTX engine, built without a GPU: kernels are compiled for the GPU that loads it."""

from __future__ import annotations

from pathlib import Path

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import ExporterCard, Form

CARD = ExporterCard(
    name="tensorrt-rtx",
    summary="strongly typed TensorRT-RTX engine for GPUs of compute capability 8.0, 8.6, 8.9, 12.0 and later",
    accepts=(Form("onnx", "fp32"), Form("onnx", "fp16"), Form("onnx", "int8-qdq")),
    makes=Form("tensorrt-rtx", "{precision}"),
    source="https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/cpu-engines.html",
    calls=("forward",),
    modalities=("text", "image"),
    variant="rtx",
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Build for every GPU that the library names by default; raises ConversionError where TensorRT-RTX cannot.

    Not for the GPU at hand: this step runs without one, and what it makes is kept for any machine.
    """
    import tensorrt_rtx_bindings
    from engine import build_engine

    return build_engine(tensorrt_rtx_bindings, source, out, context)
