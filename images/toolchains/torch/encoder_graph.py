"""ONNX graphs of encoders and image models by transformers' exporter, with dynamic batch and sequence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.adapter import Array
from harness.toolchain.onnx_files import GRAPH


def write(model: Any, inputs: Mapping[str, Array], out: Path) -> None:
    """Export ``model`` with ``inputs`` of any batch and length into the folder ``out``.

    Nothing is fused for ONNX Runtime, which finds the same fusions when it loads the graph: TensorRT could not read them.
    """
    import torch
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    from transformers.exporters import OnnxConfig, OnnxExporter

    exporter = OnnxExporter()
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    exported = exporter.export(model, tensors, OnnxConfig(dynamic=True))
    # Stack traces of every node would outweigh the weights of a small model.
    ClearMetadataAndDocStringPass()(exported.program)
    exporter.save_program(exported.program, out / GRAPH)
