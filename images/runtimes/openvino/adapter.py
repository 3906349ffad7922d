"""OpenVINO on CPUs: one request at a time, a batch spread over parallel requests, or ONNX graphs read as they are.

A language model keeps its key-value cache inside the graph (a stateful IR): one graph serves prefill and decode.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contracts.adapter import Array, Arrays, Unsupported
from harness.contracts.artifact import Manifest
from harness.contracts.cards import Form, RuntimeCard

_LATENCY = RuntimeCard(
    name="openvino",
    summary="OpenVINO, CPU plugin, latency hint",
    loads=tuple(Form("openvino", precision) for precision in ("fp32", "fp16", "bf16", "int8", "int8-static", "int4")),
    devices=("cpu",),
    source="https://docs.openvino.ai/2026/openvino-workflow/running-inference/inference-devices-and-modes/cpu-device.html",
    calls=("forward", "generate"),
    modalities=("text", "image"),
    distributions=("openvino", "numpy"),
)
CARDS = (
    _LATENCY,
    replace(
        _LATENCY,
        name="openvino-throughput",
        summary="OpenVINO, CPU plugin, throughput hint: a batch is spread over parallel streams",
        calls=("forward",),
        modalities=("text", "image"),
        mode="throughput",
    ),
    replace(
        _LATENCY,
        name="openvino-onnx",
        summary="OpenVINO, CPU plugin, latency hint, reads ONNX graphs",
        loads=(Form("onnx", "fp32"), Form("onnx", "int8"), Form("onnx", "int8-static")),
        calls=("forward",),
        modalities=("text", "image"),
        mode="onnx",
    ),
)

#: Operators whose arithmetic is the model's: nearly all of its multiplications happen in them.
PRODUCTS = ("FullyConnected", "MatMul", "Convolution")
NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
INTEGERS = ("u8", "i8", "u4", "i4")
#: What OpenVINO calls instruction sets that have dot products of bytes: VNNI by its trade name, and the sets that include it.
BYTE_PRODUCTS = ("DL Boost", "AVX10", "AMX")


class Adapter:
    """One compiled model and its inference requests.

    ``throughput`` times a whole batch: its rows are dealt out to as many requests as OpenVINO finds best, which run in parallel
    on streams of their own, and the call returns when the last is done. Batch over time is the throughput; a batch of one is
    one request on one stream, which has only its share of the threads.
    """

    def __init__(self, device: str, threads: int, mode: str) -> None:
        # OpenVINO reports its use over the network as soon as it is imported; without this optional package it does not.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        import openvino

        self.openvino, self.mode = openvino, mode
        self.core = openvino.Core()
        self.settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT" if mode == "throughput" else "LATENCY",
        }

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Compile the graph once for all shapes. Every precision is said aloud: the plugin's defaults differ from CPU to CPU.

        Raises Unsupported where OpenVINO cannot read an ONNX graph.
        """
        file = artifact / ("model.onnx" if self.mode == "onnx" else "model.xml")
        try:
            model = self.core.read_model(file)
        except RuntimeError as error:
            raise Unsupported(f"OpenVINO does not read this graph: {_cause(error)}") from error
        self.static = manifest.precision == "int8-static"
        self.model = self.core.compile_model(model, "CPU", self.settings | self._precisions(manifest.precision))
        parallel = self.model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") if self.mode == "throughput" else 1
        self.requests = [_Request(self.openvino, self.model) for _ in range(parallel)]
        self.stateful = any("beam_idx" in port.get_names() for port in self.model.inputs)

    def _precisions(self, stored: str) -> dict[str, Any]:
        """Settings for the precision of the weights.

        Weights in FP16 are multiplied in fp32, and those in BF16 too where the CPU has no BF16 instructions, as OpenVINO does
        by itself (asked for BF16 all the same, it runs reference code, tens of times slower). With INT8 and INT4 weights,
        activations are quantized to INT8 in groups of 32, where the CPU has instructions for it; a graph of static INT8 says
        itself where they are. The key-value cache is kept in the precision of the arithmetic around it; OpenVINO's own default
        may be 8 bits.
        """
        native = stored == "bf16" and "BF16" in self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        hint = "bf16" if native else "f32"
        groups = 32 if stored in ("int8", "int4") else 0
        return {
            "INFERENCE_PRECISION_HINT": hint,
            "KV_CACHE_PRECISION": hint,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": groups,
        }

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One inference of all rows; for language models on an empty cache, with all positions' logits."""
        if self.stateful:
            self.requests[0].reset()
            length = inputs["input_ids"].shape[1]
            return {"logits": self._extend(inputs["input_ids"], length, keep=length)}
        return self.requests[0].run(inputs) if len(self.requests) == 1 else self._spread(inputs)

    def _spread(self, inputs: Arrays) -> dict[str, Array]:
        """Start a request for every part of the batch, then wait for all; rows come back in order."""
        rows = len(next(iter(inputs.values())))
        parts = np.array_split(np.arange(rows), min(rows, len(self.requests)))
        busy = self.requests[: len(parts)]
        for request, part in zip(busy, parts, strict=True):
            request.start({name: array[part[0] : part[-1] + 1] for name, array in inputs.items()})
        results = [request.wait() for request in busy]
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}

    def prefill(self, input_ids: npt.NDArray[np.int64]) -> Array:
        """Empty the cache, then fill it; only the last position goes through the language-model head."""
        self.requests[0].reset()
        self.length = input_ids.shape[1]
        return self._extend(input_ids, self.length, keep=1)[:, -1]

    def decode(self, token_ids: npt.NDArray[np.int64]) -> Array:
        """One token on top of the cache."""
        self.length += 1
        return self._extend(token_ids[:, None], self.length, keep=1)[:, -1]

    def _extend(self, input_ids: npt.NDArray[np.int64], length: int, keep: int) -> Array:
        """Append tokens to the cache, ``length`` tokens then; ``keep`` last positions get logits [batch, keep, vocabulary]."""
        batch, tokens = input_ids.shape
        feed = {
            "input_ids": input_ids,
            "attention_mask": np.ones((batch, length), np.int64),
            "logits_to_keep": np.arange(tokens - keep, tokens),
            "beam_idx": np.arange(batch, dtype=np.int32),  # every row goes on with its own cache
        }
        return self.requests[0].run(feed)["logits"]

    def precision(self) -> str:
        """What most matrix products and convolutions compute in, read from the graph that is executed.

        A product whose weights are stored narrower than its arithmetic is told with the type of the weights. They are expanded
        to the arithmetic that the model was compiled for, unless they are integers and activations are quantized as well,
        ``int8``: by the graph itself, or at run time, for which OpenVINO needs dot products of bytes.
        """
        kinds: Counter[str] = Counter()
        for operator in self.model.get_runtime_model().get_ordered_ops():
            told = operator.get_rt_info()
            if told["layerType"].astype(str) in PRODUCTS:
                kinds[told["runtimePrecision"].astype(str)] += 1
        ((kind, _),) = kinds.most_common(1)
        dynamic = int(self.model.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")) > 0
        multiplies_bytes = dynamic and multiplies_bytes_on(self.model.get_property("RUNTIME_REQUIREMENTS"))
        if kind in INTEGERS and (self.static or multiplies_bytes):
            return "int8"
        return NAMES["f32" if kind == "f32" else self.model.get_property("INFERENCE_PRECISION_HINT").to_string()]

    def close(self) -> None:
        """Free the model, its requests and their caches."""
        self.requests = []
        self.model = None


def multiplies_bytes_on(requirements: str) -> bool:
    """Whether the processor that OpenVINO compiled for multiplies bytes, from what it tells of its instruction set.

    ``requirements`` is the property RUNTIME_REQUIREMENTS of a compiled model, such as
    ``meta=1.0;ov=2026.4.1;isa=Intel AVX-512 with Intel DL Boost``.
    """
    return any(name in requirements for name in BYTE_PRODUCTS)


class _Request:
    """An inference request whose input tensors stay bound to it from call to call, as OpenVINO's benchmark_app has them.

    Handing arrays over anew costs 20 to 30 microseconds a call, a fifth of a small network's latency.
    """

    def __init__(self, openvino: Any, model: Any) -> None:
        self.openvino = openvino
        self.request = model.create_infer_request()
        self.outputs = {_name(port): port for port in model.outputs}
        self.types = {name: port.get_element_type() for port in model.inputs for name in port.get_names()}
        self.bound: dict[str, Array] = {}  # views of the input tensors' memory

    def run(self, feed: Arrays) -> dict[str, Array]:
        """Infer; what comes out are copies."""
        self._fill(feed)
        self.request.infer()
        return self._results()

    def start(self, feed: Arrays) -> None:
        """Begin to infer."""
        self._fill(feed)
        self.request.start_async()

    def wait(self) -> dict[str, Array]:
        """End what ``start`` began; what comes out are copies."""
        self.request.wait()
        return self._results()

    def reset(self) -> None:
        """Empty the key-value cache."""
        self.request.reset_state()

    def _fill(self, feed: Arrays) -> None:
        for name, array in feed.items():
            if name not in self.types:
                continue  # the model does not ask for it
            if name not in self.bound or self.bound[name].shape != array.shape:
                tensor = self.openvino.Tensor(self.types[name], self.openvino.Shape(array.shape))
                self.request.set_tensor(name, tensor)
                self.bound[name] = tensor.data
            np.copyto(self.bound[name], array)

    def _results(self) -> dict[str, Array]:
        return {name: self.request.get_tensor(port).data.copy() for name, port in self.outputs.items()}


def _name(port: Any) -> str:
    """The name of an output; where it has several, for converters keep those of their own, the one without a digit or a dot."""
    names: set[str] = port.get_names()
    return min(names, key=lambda name: (not name.isidentifier(), any(map(str.isdigit, name)), name))


def _cause(error: RuntimeError) -> str:
    """The last line of an OpenVINO exception that says something: the lines before it say where it was thrown."""
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1][:200]
