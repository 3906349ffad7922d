"""Dynamic INT8 of an ONNX graph: int8 weights with a scale per output channel, activations quantized at run time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, PassCard
from harness.toolchain.onnx_files import GRAPH, size, written

CARD = PassCard(
    name="int8-dynamic",
    summary="matrix products in INT8: weights per output channel, activations quantized at run time",
    accepts=(Form("onnx", "fp32"),),
    makes=Form("onnx", "int8"),
    source="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#dynamic-quantization",
    costs="int8",
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize MatMul and Gemm with constant weights; convolutions stay fp32, as in PyTorch's dynamic quantization.

    A matrix that another node reads too stays fp32: a language-model head tied to the embedding would be stored twice.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source.path / GRAPH)
    # Shapes as the exporter wrote them; ONNX's own inference contradicts some of them at fused operators.
    del model.graph.value_info[:]
    context.progress(0.1, "quantizing")
    quantize_dynamic(
        model,
        out / GRAPH,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=_shared(model.graph),
        use_external_data_format=True,
        # Fused operators have no shape inference: float is what their outputs are.
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    context.progress(0.9, "verifying")
    return Made(written(out), effect=_effect(source.path, out), extra=dict(source.manifest.extra))


def _shared(graph: Any) -> list[str]:
    """Names of matrix products whose constant matrix other nodes read too."""
    readers = Counter(name for node in graph.node for name in node.input)
    constants = {tensor.name for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    return [node.name for node in products if node.input[1] in constants and readers[node.input[1]] > 1]


def _effect(before: Path, after: Path) -> dict[str, Any]:
    """What was quantized, counted in the written graph; raises ConversionError where nothing was."""
    import numpy as np
    import onnx
    from onnx.numpy_helper import to_array

    original = {tensor.name: tensor for tensor in onnx.load(before / GRAPH).graph.initializer}
    written = {tensor.name: tensor for tensor in onnx.load(after / GRAPH).graph.initializer}
    quantized = {
        name: file for name in original for file in (name, f"{name}_Transposed") if f"{file}_quantized" in written
    }
    if not quantized:
        raise ConversionError("the graph has no matrix product with constant weights to quantize")
    largest_change, count = 0.0, 0
    for name, file in quantized.items():
        weight, scale = to_array(original[name]), to_array(written[f"{file}_scale"])
        rounded = to_array(written[f"{file}_quantized"]).astype(np.float32) * scale  # symmetric: the zero point is 0
        change = np.abs(rounded - (weight if file == name else weight.T))  # a Gemm's matrix may come out transposed
        largest_change, count = max(largest_change, float(change.max())), count + weight.size
    weights = sum(int(np.prod(tensor.dims)) for tensor in original.values())
    return {
        "tensors_changed": len(quantized),
        "share_of_weights_quantized": round(count / weights, 4),
        "bits_per_weight": round(8 * size(after) / weights, 3),
        "max_abs_weight_change": largest_change,
    }
