"""ONNX Runtime. Language models run as one graph with explicit key-value caches, kept on the device from step to step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contracts.adapter import Array, Arrays
from harness.contracts.artifact import Manifest
from harness.contracts.cards import Form, RuntimeCard

CARDS = (
    RuntimeCard(
        name="onnxruntime",
        summary="ONNX Runtime, all graph optimizations, CPU or CUDA provider",
        loads=tuple(
            Form("onnx", precision) for precision in ("fp32", "fp16", "int8", "int8-qdq", "int8-static", "int4")
        ),
        devices=("cpu", "cuda"),
        source="https://onnxruntime.ai/docs/performance/tune-performance/threading.html",
        calls=("forward", "generate"),
        modalities=("text", "image"),
        distributions=("onnxruntime", "onnxruntime-gpu", "numpy"),
        cpu_only=(Form("onnx", "int8-static"),),  # its uint8 activations are for the instructions of x86 CPUs
    ),
)

TYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
PAST, PRESENT = "past_key_values.", "present."


class Adapter:
    """One inference session."""

    def __init__(self, device: str, threads: int, mode: str) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()  # nothing but the model works while a model is measured
        self.runtime, self.device = onnxruntime, device
        self.providers: list[Any] = ["CPUExecutionProvider"]
        if device == "cuda":
            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                raise RuntimeError("this build of ONNX Runtime has no CUDAExecutionProvider")
            onnxruntime.preload_dlls()  # CUDA and cuDNN lie in NVIDIA's packages, where the loader does not look by itself
            self.providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": 0}))  # an fp32 row computes in fp32
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # The default, said aloud: idle workers spin for a moment before they sleep. A measuring container has its CPUs to
        # itself, where spinning shortens every call; OpenMP, under PyTorch, does the same.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        self.options = options

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Create the session; external data files are found beside the graph.

        Raises RuntimeError where the CUDA provider does not start: ONNX Runtime would go on without it, on the CPU.
        """
        self.session = self.runtime.InferenceSession(artifact / "model.onnx", self.options, providers=self.providers)
        if self.device == "cuda" and self.session.get_providers()[0] != "CUDAExecutionProvider":
            raise RuntimeError(
                "the CUDA provider does not start (see the log): it needs an NVIDIA GPU and driver, CUDA 13 and cuDNN 9"
            )
        self.manifest = manifest
        self.types = {value.name: TYPES[value.type] for value in self.session.get_inputs()}
        self.past = [name for name in self.types if name.startswith(PAST)]
        names = [value.name for value in self.session.get_outputs()]
        self.outputs = [name for name in names if not name.startswith(PRESENT)]

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One run of the graph, for language models with an empty cache and all positions' logits."""
        feed = dict(inputs)
        if self.past:
            feed |= self._sequence(inputs["input_ids"], inputs["input_ids"].shape[1], keep=0)
            feed |= self._empty_cache(len(inputs["input_ids"]))
        feed = {name: feed[name].astype(kind, copy=False) for name, kind in self.types.items()}
        results = self.session.run(self.outputs, feed) if self.device == "cpu" else self._run_bound(feed)
        return dict(zip(self.outputs, results, strict=True))

    def _run_bound(self, feed: Arrays) -> list[Array]:
        """One run on a GPU: inputs are copied there once, and of the outputs all but the cache comes back."""
        binding = self.session.io_binding()
        for name, array in feed.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self.outputs:
            binding.bind_output(name, "cpu")
        self.session.run_with_iobinding(binding)
        return [value.numpy() for value in binding.get_outputs()]

    def prefill(self, input_ids: npt.NDArray[np.int64]) -> Array:
        """Fill a new cache; only the last position goes through the language-model head."""
        empty = self._empty_cache(len(input_ids)).items()
        self.cache = {name: self.runtime.OrtValue.ortvalue_from_numpy(array, self.device) for name, array in empty}
        self.length = 0
        return self._step(input_ids)

    def decode(self, token_ids: npt.NDArray[np.int64]) -> Array:
        """One token on top of the cache."""
        return self._step(token_ids[:, None])

    def _step(self, input_ids: npt.NDArray[np.int64]) -> Array:
        """Bind the last outputs as the next inputs: the cache never passes through Python."""
        self.length += input_ids.shape[1]
        binding = self.session.io_binding()
        for name, array in self._sequence(input_ids, self.length, keep=1).items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        binding.bind_output("logits", "cpu")
        for name, value in self.cache.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_output(name.replace(PAST, PRESENT), self.device)
        self.session.run_with_iobinding(binding)
        logits, *present = binding.get_outputs()  # in the order in which they were bound
        self.cache = dict(zip(self.cache, present, strict=True))
        last: Array = logits.numpy()[:, -1]
        return last

    def _sequence(self, input_ids: npt.NDArray[np.int64], length: int, keep: int) -> dict[str, Array]:
        """All inputs but the cache; ``keep`` last positions get logits, 0 means all."""
        mask = np.ones((len(input_ids), length), np.int64)
        return {"input_ids": input_ids, "attention_mask": mask, "logits_to_keep": np.array([keep])}

    def _empty_cache(self, batch: int) -> dict[str, Array]:
        heads, size = self.manifest.extra["key_value_heads"], self.manifest.extra["head_size"]
        return {name: np.zeros((batch, heads, 0, size), self.types[name]) for name in self.past}

    def precision(self) -> str:
        """The precision of the matrix products.

        The CPU provider has no fp16 kernels for them on x86-64: it inserts casts and multiplies in fp32.
        4-bit weights it multiplies with activations in INT8 blocks; the CUDA provider expands them to fp32.
        """
        stored: str = self.manifest.precision.removesuffix("-static")
        on_cpu = self.session.get_providers()[0] == "CPUExecutionProvider"
        if stored == "int4":
            return "int8" if on_cpu else "fp32"
        return "fp32" if stored == "fp16" and on_cpu else stored

    def close(self) -> None:
        """Free the session and the cache."""
        self.session = None
        self.cache = {}
