"""Static INT8 of an ONNX graph: explicit QuantizeLinear and DequantizeLinear, activations' ranges calibrated beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.data import calibration_rows
from harness.toolchain.onnx_files import GRAPH, size, written

CARD = PassCard(
    name="int8-static",
    summary="matrix products and convolutions in INT8: weights per output channel, ranges of activations calibrated",
    accepts=(Form("onnx", "fp32"),),
    makes=Form("onnx", "int8-static"),
    source="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#static-quantization",
    costs="int8",
    calls=("forward",),
    modalities=("text", "image"),
    parameters={
        "examples": Parameter(64, "training rows to calibrate on", minimum=1),
        "calibration": Parameter(
            "minmax",
            "how ranges are chosen; entropy and percentile cut outliers off",
            choices=("minmax", "entropy", "percentile"),
        ),
        "reduce_range": Parameter(
            False, "weights in 7 bits: for x86 CPUs without VNNI, whose 16-bit sums saturate at 8 bits"
        ),
    },
    needs_training_data=True,
)

METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
#: Of the search for a range by entropy: it tries the middle 256 bins, as many as uint8 has values, then wider ranges up to all.
#: With ONNX Runtime's defaults, 128 bins of 128, all bins are the only candidate: the range of minmax.
BINS = {"num_bins": 2048, "num_quantized_bins": 256}
PRODUCTS = ("MatMul", "Gemm")


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Calibrate with rows of the training split in ``context.inputs["calibration"]``, then quantize what has constant weights.

    Activations are uint8 with a zero point, weights int8 without one: what the dot-product instructions of x86 (VNNI) take, and
    add up in 32 bits; signed activations would need a correction of every sum. Products of two activations (attention), norms
    and GELU stay fp32, and so do the outputs of matrix products: static ranges there ruin transformers. Outputs of
    convolutions are quantized, so that the next convolution reads integers.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    method = CalibrationMethod[METHODS[parameters["calibration"]]]
    model = onnx.load(source.path / GRAPH)
    # The calibrator needs the types of all values; of their shapes ONNX's own inference contradicts some at fused operators.
    for value in model.graph.value_info:
        value.type.tensor_type.ClearField("shape")
    chosen = _chosen(model.graph)
    before = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    batches = calibration_rows(context, parameters["examples"])
    context.progress(0.1, f"calibrating on {len(batches)} rows")
    reader = _Reader(batches, model.graph)
    with TemporaryDirectory() as scratch:
        graph, ranges = Path(scratch, GRAPH), Path(scratch, "ranges.json")
        onnx.save(model, graph, save_as_external_data=True)
        if method is not CalibrationMethod.MinMax:
            _calibrate(graph, method, reader, ranges)
        quantize_static(
            graph,
            out / GRAPH,
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *PRODUCTS],
            nodes_to_quantize=chosen,
            per_channel=True,
            reduce_range=parameters["reduce_range"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            calibration_cache_path=ranges,
            use_external_data_format=True,
            extra_options={
                "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
                # Fused operators have no shape inference: float is what their outputs are.
                "DefaultTensorType": onnx.TensorProto.FLOAT,
            },
        )
    context.progress(0.9, "verifying")
    effect = {"examples": len(batches), **_effect(before, len(chosen), out)}
    return Made(written(out), effect=effect, extra=dict(source.manifest.extra))


class _Reader:
    """Model inputs in the interface of ONNX Runtime's CalibrationDataReader, without those that the graph does not take."""

    def __init__(self, batches: list[dict[str, Any]], graph: Any) -> None:
        taken = {value.name for value in graph.input}
        self.left = iter([{name: batch[name] for name in batch.keys() & taken} for batch in batches])

    def get_next(self) -> dict[str, Any] | None:
        """The next inputs; None after the last."""
        return next(self.left, None)


def _calibrate(graph: Path, method: Any, reader: _Reader, ranges: Path) -> None:
    """Choose ranges by histograms and write them to the file where ``quantize_static`` looks for them.

    It can't choose them itself: it has no option for the number of bins, and it stacks what it collects, which rows of
    different lengths do not allow.
    """
    import numpy as np
    from onnxruntime.quantization import create_calibrator, save_tensors_data
    from onnxruntime.quantization.calibrate import HistogramCollector

    class Collector(HistogramCollector):  # type: ignore[misc]
        def collect(self, name_to_arr: Mapping[str, list[Any]]) -> None:
            super().collect(
                {name: np.concatenate([array.ravel() for array in each]) for name, each in name_to_arr.items()}
            )

    augmented = str(graph.with_name("augmented.onnx"))
    calibrator = create_calibrator(
        graph, ["Conv", *PRODUCTS], augmented, method, use_external_data_format=True, extra_options=BINS
    )
    settings = ("method", "symmetric", "num_bins", "num_quantized_bins", "percentile", "scenario")
    calibrator.collector = Collector(*(getattr(calibrator, name) for name in settings))
    calibrator.collect_data(reader)
    save_tensors_data(calibrator.compute_data(), ranges)


def _chosen(graph: Any) -> list[str]:
    """Names of the convolutions and matrix products with a constant that nothing else reads.

    Raises ConversionError where there are none.
    """
    constants = {tensor.name for tensor in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    weighted = [node for node in graph.node if node.op_type in ("Conv", *PRODUCTS) and node.input[1] in constants]
    alone = [node.name for node in weighted if readers[node.input[1]] == 1]
    if not alone:
        raise ConversionError("the graph has no matrix product and no convolution with constant weights to quantize")
    return alone


def _effect(before: Mapping[str, tuple[int, ...]], chosen: int, out: Path) -> dict[str, Any]:
    """What was quantized, counted in the written graph; raises ConversionError unless weight and activation of all were."""
    import math

    import onnx

    graph = onnx.load(out / GRAPH, load_external_data=False).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    origin = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    weighted = [node for node in graph.node if node.op_type in ("Conv", *PRODUCTS)]
    whole = [node for node in weighted if node.input[0] in origin and origin.get(node.input[1]) in stored]
    if len(whole) != chosen:
        raise ConversionError(
            f"only {len(whole)} of {chosen} matrix products and convolutions read quantized activations"
        )
    quantized = [stored[name] for name in {origin[node.input[1]] for node in whole}]
    weights = sum(map(math.prod, before.values()))
    return {
        "tensors_quantized": len(quantized),
        "activations_quantized": len({origin[node.input[0]] for node in whole}),
        "share_of_weights_quantized": round(sum(math.prod(tensor.dims) for tensor in quantized) / weights, 4),
        "bits_per_weight": round(8 * size(out) / weights, 3),
    }
