"""TFLite graphs on CPUs, by LiteRT's interpreter or by its predecessor tflite-runtime; both with the XNNPACK delegate."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array, Arrays, Unsupported
from harness.contracts.artifact import Manifest
from harness.contracts.cards import Form, RuntimeCard
from harness.contracts.loading import load

LITERT = RuntimeCard(
    name="litert",
    summary="LiteRT (TFLite) interpreter with the XNNPACK delegate",
    loads=(Form("tflite", "fp32"), Form("tflite", "fp16"), Form("tflite", "int8")),
    devices=("cpu",),
    source="https://ai.google.dev/edge/litert/inference",
    mode="ai_edge_litert",
    calls=("forward",),
    modalities=("text", "image"),
    distributions=("ai-edge-litert", "numpy"),
)
LEGACY = replace(
    LITERT,
    name="tflite-runtime",
    summary="tflite-runtime 2.14 of 2023, LiteRT's predecessor, with the XNNPACK delegate",
    source="https://www.tensorflow.org/lite/guide/python",
    mode="tflite_runtime",
    variant="tflite-runtime",
    distributions=("tflite-runtime", "numpy"),
)
CARDS = (LITERT, LEGACY)

TOO_NEW = re.compile(r"Didn't find op for (?:builtin opcode|custom op) '(\w+)'(?: version '(\d+)')?")
#: Operators whose second input are weights.
WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"}
NAMES = {np.float32: "fp32", np.float16: "fp16", np.int8: "int8"}


class Adapter:
    """One interpreter. ``mode`` is the package that holds it; its threads and its delegate are set, not left to defaults."""

    def __init__(self, device: str, threads: int, mode: str) -> None:
        self.library = load(f"{mode}.interpreter")
        self.threads, self.legacy = threads, mode == LEGACY.mode

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Read the graph and let XNNPACK pack the weights, for each signature its own.

        Raises Unsupported where an operator is newer than the runtime, or XNNPACK takes no part of the graph.
        """
        self.interpreter = self._interpreter(artifact / "model.tflite")
        names = self.interpreter.get_signature_list()
        self.lengths = sorted(int(name.removeprefix("tokens_")) for name in names if name.startswith("tokens_"))
        self.arithmetic = self._weights()
        if self.lengths:
            self.runners = {n: self.interpreter.get_signature_runner(f"tokens_{n}") for n in self.lengths}
            self.inputs = names[f"tokens_{self.lengths[0]}"]["inputs"]
        else:
            (taken,), (given,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
            self.taken, self.given, self.shape = taken["index"], given["index"], tuple(map(int, taken["shape"]))

    def _interpreter(self, file: Path) -> Any:
        """An interpreter of ``file``, ready to be called."""
        try:
            # BUILTIN: optimized kernels, and XNNPACK for all that it can take.
            kernels = self.library.OpResolverType.BUILTIN
            made = self.library.Interpreter(str(file), num_threads=self.threads, experimental_op_resolver_type=kernels)
            made.allocate_tensors()  # applies the delegate, to every signature
        except (ValueError, RuntimeError) as error:
            if operator := TOO_NEW.search(str(error)):
                name, version = operator.groups()
                raise Unsupported(
                    f"operator {name}{f' version {version}' if version else ''} is newer than this runtime: use litert"
                ) from error
            raise Unsupported(f"this runtime cannot prepare the graph: {error}") from error
        if not any(operator["op_name"] == "DELEGATE" for operator in made._get_ops_details()):
            raise Unsupported("the XNNPACK delegate takes no operator of this graph")
        return made

    def _weights(self) -> str:
        """The type in which most operators with weights read them, by the graph that the interpreter holds.

        Raises Unsupported for what tflite-runtime would compute wrongly in silence: it takes the first scale of a
        FULLY_CONNECTED for all of them (those of several channels need version 12, which quantizers do not always say).
        """
        tensors = {tensor["index"]: tensor for tensor in self.interpreter.get_tensor_details()}
        operators = self.interpreter._get_ops_details()  # no public name tells operators; both packages have this one
        read = [(o["op_name"], tensors[o["inputs"][1]]) for o in operators if o["op_name"] in WEIGHTED]
        for operator, weights in read if self.legacy else ():
            if operator == "FULLY_CONNECTED" and len(weights["quantization_parameters"]["scales"]) > 1:
                raise Unsupported(
                    "FULLY_CONNECTED with a scale per channel (version 12) is newer than this runtime: use litert"
                )
        ((kind, _),) = Counter(tensor["dtype"] for _, tensor in read).most_common(1)
        return NAMES[kind]

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One call of the graph. Raises Unsupported where it is not for this batch or size, or too short for the text."""
        if self.lengths:
            return self._text(inputs)
        (array,) = inputs.values()
        return {"logits": self._whole(array)}

    def _text(self, inputs: Arrays) -> dict[str, Array]:
        """Pad one text to the next signature, run that, and cut the padding off. Ids must be in the vocabulary."""
        batch, tokens = inputs["input_ids"].shape
        length = next((length for length in self.lengths if length >= tokens), 0)
        if batch != 1 or not length:
            raise Unsupported(
                f"shapes of TFLite graphs are static: {batch} x {tokens} tokens asked, "
                f"exported for 1 x {' or '.join(map(str, self.lengths))}"
            )
        padding = ((0, 0), (0, length - tokens))
        feed = {name: inputs[name].astype(np.int32) for name in self.inputs}
        if length > tokens:
            feed = {name: np.pad(array, padding) for name, array in feed.items()}
        results: dict[str, Array] = self.runners[length](**feed)
        return {name: array[:, :tokens] if array.ndim == 3 else array for name, array in results.items()}

    def _whole(self, array: Array) -> Array:
        """One input, one output, by tensor index: a signature runner would cost a small network one tenth of its time."""
        if array.shape != self.shape:
            self._resize(array.shape)
        self.interpreter.set_tensor(self.taken, array)
        self.interpreter.invoke()
        logits: Array = self.interpreter.get_tensor(self.given)
        return logits

    def _resize(self, shape: tuple[int, ...]) -> None:
        """Give the graph another input shape, in the dimensions that it leaves open."""
        try:
            self.interpreter.resize_tensor_input(self.taken, shape, strict=True)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            sizes = (" x ".join(map(str, sizes)) for sizes in (shape, self.shape))
            raise Unsupported("shapes of TFLite graphs are static: {} asked, exported for {}".format(*sizes)) from error
        self.shape = shape

    def precision(self) -> str:
        """``int8`` where operators read int8 weights (and quantize activations, per call or by constants), else ``fp32``.

        Weights that are stored in fp16 are dequantized when the graph is loaded: XNNPACK computes in fp32.
        """
        return self.arithmetic

    def close(self) -> None:
        """Free the model."""
        self.interpreter = None
        self.runners = {}
