"""Building of TensorRT engines from ONNX graphs, shared by the exporters beside it.

TensorRT and TensorRT-RTX have the same Python interface under two names; here the library is handed in. Networks are strongly
typed, as both libraries demand: what the graph says is what computes, there are no precision flags. FP16 is a graph in
float16, INT8 a graph with explicit QuantizeLinear and DequantizeLinear, int8 and symmetric.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.toolchain.onnx_files import GRAPH

ENGINE = "model.engine"
NAMES = {"tensorrt_bindings": "TensorRT", "tensorrt_rtx_bindings": "TensorRT-RTX"}

#: Smallest, best and largest size of each dynamic dimension, by the rank of the input. An engine is best at requests of one; a
#: larger maximum costs no memory, for the adapter gives an engine what the shapes of its inputs need.
RANGES: Mapping[int, Sequence[tuple[int, int, int]]] = {
    2: ((1, 1, 32), (1, 128, 512)),  # batch, tokens
    4: ((1, 1, 32), (1, 3, 3), (32, 224, 512), (32, 224, 512)),  # batch, channels, height, width
}


def build_engine(library: Any, source: Artifact, out: Path, context: Context) -> Made:
    """Parse ``model.onnx`` and build one engine with one optimization profile, of batch, length and image size.

    ``library`` is ``tensorrt_bindings`` or ``tensorrt_rtx_bindings``. Raises ConversionError where the library cannot read an
    operator or cannot build the engine. Outputs are not compared with the graph's: an engine runs on its GPU only, where its
    quality is measured.
    """
    logger = _logger(library)
    builder = library.Builder(logger)
    builder.max_threads = context.threads
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    context.progress(0.1, "reading the graph")
    _parse(library, network, logger, source.path / GRAPH)
    config = builder.create_builder_config()
    config.clear_flag(library.BuilderFlag.TF32)  # an fp32 row computes in fp32
    profile, ranges = _profile(builder, network)
    config.add_optimization_profile(profile)
    context.progress(0.3, "building the engine")
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ConversionError(f"{NAMES[library.__name__]} cannot build the engine: {logger.last}")
    (out / ENGINE).write_bytes(engine)
    products = _products(library, network)
    effect = {"matrix_products": dict(products), "profile": ranges}
    arithmetic = products.most_common(1)[0][0]
    return Made([ENGINE], effect=effect, extra={**source.manifest.extra, "arithmetic": arithmetic})


def _logger(library: Any) -> Any:
    """A logger that prints warnings and errors and remembers the last error: the library raises none."""

    class Logger(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.last = "it does not say why"

        def log(self, severity: Any, message: str) -> None:
            if severity <= library.ILogger.ERROR:
                self.last = " ".join(message.split())
            if severity <= library.ILogger.WARNING:
                print(message, file=sys.stderr)

    return Logger()


def _parse(library: Any, network: Any, logger: Any, file: Path) -> None:
    parser = library.OnnxParser(network, logger)
    if parser.parse_from_file(str(file)):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    operators = Counter(error.node_operator() for error in errors if error.node_operator())
    if not operators:
        raise ConversionError(f"{NAMES[library.__name__]} cannot read the graph: {logger.last}")
    counted = ", ".join(f"{name} ({count})" for name, count in operators.most_common())
    cure = (
        "fusions of ONNX Runtime and dynamic quantization are not for TensorRT; it takes float graphs and int8-static"
    )
    raise ConversionError(f"{NAMES[library.__name__]} cannot read the operators {counted}: {cure}")


def _profile(builder: Any, network: Any) -> tuple[Any, dict[str, list[str]]]:
    """The optimization profile, and each input's smallest, best and largest shape such as ``"1x128"``."""
    profile = builder.create_optimization_profile()
    told = {}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if len(shape) not in RANGES:
            raise ConversionError(f"the input {tensor.name} has {len(shape)} dimensions; known are {sorted(RANGES)}")
        sizes = [known if size < 0 else (size,) * 3 for size, known in zip(shape, RANGES[len(shape)], strict=True)]
        shapes = [tuple(edge) for edge in zip(*sizes, strict=True)]
        profile.set_shape(tensor.name, *shapes)
        told[tensor.name] = ["x".join(map(str, edge)) for edge in shapes]
    return profile, told


def _products(library: Any, network: Any) -> Counter[str]:
    """How many matrix products and convolutions compute in which precision, as the strongly typed network says.

    Those whose operands both come out of a DequantizeLinear compute in int8: the library multiplies before it dequantizes.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    makers = {layer.get_output(n).name: layer for layer in layers for n in range(layer.num_outputs)}
    kinds = library.LayerType
    words = {library.float32: "fp32", library.float16: "fp16", library.bfloat16: "bf16"}
    counted: Counter[str] = Counter()
    for layer in layers:
        if layer.type in (kinds.MATRIX_MULTIPLY, kinds.CONVOLUTION):
            operands = [layer.get_input(n) for n in range(min(2, layer.num_inputs))]
            quantized = all(_dequantized(kinds, makers, operand.name) for operand in operands)
            counted["int8" if quantized else words[operands[0].dtype]] += 1
    if not counted:
        raise ConversionError("the graph holds no matrix product and no convolution")
    return counted


def _dequantized(kinds: Any, makers: Mapping[str, Any], name: str) -> bool:
    """Whether a tensor is dequantized, and since then reshaped at most."""
    maker = makers.get(name)
    while maker is not None and maker.type == kinds.SHUFFLE:
        maker = makers.get(maker.get_input(0).name)
    return maker is not None and maker.type == kinds.DEQUANTIZE
