"""TensorRT and TensorRT-RTX: one engine, one execution context, and device memory for exactly the shapes that come.

The CUDA runtime is called through NVIDIA's own bindings: there is no PyTorch in the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from harness.contracts.adapter import Array, Arrays, Unsupported
from harness.contracts.artifact import Manifest
from harness.contracts.cards import Form, RuntimeCard
from harness.contracts.loading import load

TENSORRT = RuntimeCard(
    name="tensorrt",
    summary="TensorRT, an engine built for this GPU",
    loads=(Form("tensorrt", "fp32"), Form("tensorrt", "fp16"), Form("tensorrt", "int8-qdq")),
    devices=("cuda",),
    source="https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html",
    calls=("forward",),
    modalities=("text", "image"),
    distributions=("tensorrt-cu13-libs", "tensorrt-rtx-cu13-libs", "cuda-bindings", "numpy"),
)
CARDS = (
    TENSORRT,
    replace(
        TENSORRT,
        name="tensorrt-rtx",
        summary="TensorRT-RTX, a portable engine whose kernels are compiled for this GPU when it is loaded",
        loads=(Form("tensorrt-rtx", "fp32"), Form("tensorrt-rtx", "fp16"), Form("tensorrt-rtx", "int8-qdq")),
        source="https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/cpu-engines.html",
        mode="rtx",
        variant="rtx",
    ),
)

LIBRARIES = {"": "tensorrt_bindings", "rtx": "tensorrt_rtx_bindings"}
Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]


class Buffers(NamedTuple):
    """Device memory for one set of input shapes: addresses by tensor name, and where the engine works."""

    addresses: Mapping[str, int]
    outputs: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]  # shape and type by name
    workspace: int
    workspace_bytes: int


class Adapter:
    """One engine on the first GPU."""

    def __init__(self, device: str, threads: int, mode: str) -> None:
        self.trt = load(LIBRARIES[mode])
        self.cuda = load("cuda.bindings.runtime")
        self.buffers: dict[Shapes, Buffers] = {}
        self.current: Shapes | None = None
        error, devices = self.cuda.cudaGetDeviceCount()
        if error or not devices:
            raise RuntimeError(
                f"no CUDA device ({_spoken(self.cuda, error)}): TensorRT needs an NVIDIA GPU and driver; Docker, --gpus all"
            )
        self.logger = _logger(self.trt)
        self.runtime = self.trt.Runtime(self.logger)

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Load the engine onto the GPU. Raises Unsupported where it was built for another GPU or library version."""
        self.manifest = manifest
        self._do(self.cuda.cudaSetDevice(0))
        self.stream = self._do(self.cuda.cudaStreamCreate())
        self.engine = self.runtime.deserialize_cuda_engine((artifact / manifest.weights[0]).read_bytes())
        if self.engine is None:
            raise Unsupported(
                f"the engine does not load: {self.logger.last} (an engine runs with the library version that built it, on"
                " the GPUs that it was built for; run the matrix where it is measured)"
            )
        # By default a context takes the memory of the largest shapes that the engine allows, whatever comes.
        self.context = self.engine.create_execution_context(self.trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if self.context is None:
            raise RuntimeError(f"CUDA: no execution context: {self.logger.last}")
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        self.types = {name: np.dtype(self.trt.nptype(self.engine.get_tensor_dtype(name))) for name in names}
        inputs = [name for name in names if self.engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT]
        self.inputs, self.outputs = inputs, [name for name in names if name not in inputs]

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Copy in, execute, copy out; all on one stream, which has ended when this returns."""
        feed = {name: np.ascontiguousarray(inputs[name], self.types[name]) for name in self.inputs}
        buffers = self._select(tuple((name, array.shape) for name, array in feed.items()))
        for name, array in feed.items():
            self._copy(buffers.addresses[name], array.ctypes.data, array.nbytes, "cudaMemcpyHostToDevice")
        if not self.context.execute_async_v3(self.stream):
            raise RuntimeError(f"CUDA: the engine failed: {self.logger.last}")
        results = {name: np.empty(shape, kind) for name, (shape, kind) in buffers.outputs.items()}
        for name, array in results.items():
            self._copy(array.ctypes.data, buffers.addresses[name], array.nbytes, "cudaMemcpyDeviceToHost")
        self._do(self.cuda.cudaStreamSynchronize(self.stream))
        return {name: array.astype(np.float32, copy=False) for name, array in results.items()}

    def precision(self) -> str:
        """The precision of the matrix products and convolutions.

        The exporter read it from the strongly typed network, whose types the engine has to keep.
        """
        arithmetic: str = self.manifest.extra["arithmetic"]
        return arithmetic

    def close(self) -> None:
        """Free device memory, then context and engine."""
        self._do(self.cuda.cudaDeviceSynchronize())
        for buffers in self.buffers.values():
            for address in (*buffers.addresses.values(), buffers.workspace):
                self._do(self.cuda.cudaFree(address))
        self.buffers.clear()
        self.context = self.engine = None
        self._do(self.cuda.cudaStreamDestroy(self.stream))

    def _select(self, shapes: Shapes) -> Buffers:
        """Set the context to these input shapes; the memory for them is allocated once and kept."""
        if shapes == self.current:
            return self.buffers[shapes]
        for name, shape in shapes:
            if not self.context.set_input_shape(name, shape):
                low, _, high = self.engine.get_tensor_profile_shape(name, 0)
                raise Unsupported(
                    f"{name} of {shape} is outside of what the engine takes, {tuple(low)} to {tuple(high)}"
                )
        if missing := self.context.infer_shapes():
            raise RuntimeError(f"the engine does not know the shapes of {', '.join(missing)}")
        workspace_bytes = self.context.update_device_memory_size_for_shapes()
        buffers = self.buffers.get(shapes) or self._allocate(workspace_bytes)
        self.buffers[shapes] = buffers
        self.context.set_device_memory(buffers.workspace, buffers.workspace_bytes)
        for name, address in buffers.addresses.items():
            self.context.set_tensor_address(name, address)
        self.current = shapes
        return buffers

    def _allocate(self, workspace_bytes: int) -> Buffers:
        shapes = {name: tuple(self.context.get_tensor_shape(name)) for name in self.types}
        sizes = {name: int(np.prod(shape)) * self.types[name].itemsize for name, shape in shapes.items()}
        addresses = {name: self._do(self.cuda.cudaMalloc(size)) for name, size in sizes.items()}
        workspace = self._do(self.cuda.cudaMalloc(max(1, workspace_bytes)))
        outputs = {name: (shapes[name], self.types[name]) for name in self.outputs}
        return Buffers(addresses, outputs, workspace, workspace_bytes)

    def _copy(self, to: int, source: int, size: int, kind: str) -> None:
        self._do(self.cuda.cudaMemcpyAsync(to, source, size, getattr(self.cuda.cudaMemcpyKind, kind), self.stream))

    def _do(self, result: tuple[Any, ...]) -> Any:
        """The value of a CUDA call; raises RuntimeError with what CUDA says where it failed."""
        error, *values = result
        if error:
            raise RuntimeError(f"CUDA: {_spoken(self.cuda, error)}")
        return values[0] if values else None


def _spoken(cuda: Any, error: Any) -> str:
    """What CUDA says of an error, such as "out of memory"."""
    text: bytes = cuda.cudaGetErrorString(error)[1]
    return text.decode()


def _logger(trt: Any) -> Any:
    """A logger that remembers the last error: where the library fails it returns None and tells its logger why."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = "it does not say why"

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.last = " ".join(message.split())

    return Logger()
