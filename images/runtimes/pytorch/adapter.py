"""PyTorch: eager, TorchScript, ExportedProgram and torch.compile. Eager is the reference of every other runtime."""

from __future__ import annotations

import inspect
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contracts.adapter import Array, Arrays, Unsupported
from harness.contracts.artifact import Manifest
from harness.contracts.cards import Form, RuntimeCard
from harness.contracts.checkpoint import has_own_code, options

_EAGER = RuntimeCard(
    name="pytorch",
    summary="PyTorch eager, transformers models",
    loads=(
        Form("hf", "fp32"),
        Form("hf", "bf16"),
        Form("hf", "fp16"),
        Form("hf", "int8"),
        Form("hf", "clustered"),
        Form("hf", "int4"),
    ),
    cpu_only=(Form("hf", "int8"),),  # PyTorch's dynamically quantized linear layers have CPU kernels only
    devices=("cpu", "cuda"),
    source="https://docs.pytorch.org/docs/stable/notes/cpu_threading_torchscript_inference.html",
    calls=("forward", "generate"),
    modalities=("text", "image"),
    distributions=("torch", "transformers", "safetensors", "numpy"),
)
_PRECISIONS = ("fp32", "bf16", "fp16")
CARDS = (
    _EAGER,
    # Apart, for transformers imports torchao wherever it is installed: time and memory that no other row should pay for.
    replace(
        _EAGER,
        name="pytorch-torchao",
        summary="PyTorch eager, transformers models that torchao quantized",
        loads=(Form("hf", "torchao-int8"),),
        cpu_only=(),
        devices=("cpu",),
        source="https://huggingface.co/docs/transformers/quantization/torchao",
        distributions=("torch", "transformers", "torchao", "safetensors", "numpy"),
        variant="torchao",
    ),
    replace(
        _EAGER,
        name="pytorch-torchscript",
        summary="PyTorch, traced TorchScript, frozen",
        loads=tuple(Form("torchscript", precision) for precision in _PRECISIONS),
        cpu_only=(),
        source="https://docs.pytorch.org/docs/stable/jit.html",
        calls=("forward",),
        modalities=("text", "image"),
        distributions=("torch", "numpy"),
        mode="torchscript",
    ),
    replace(
        _EAGER,
        name="pytorch-export",
        summary="PyTorch, ExportedProgram of torch.export, run as it is",
        loads=tuple(Form("torch-export", precision) for precision in (*_PRECISIONS, "int8")),
        cpu_only=(Form("torch-export", "int8"),),  # quantized for the CPU, and tried nowhere else
        source="https://docs.pytorch.org/docs/stable/user_guide/torch_compiler/export.html",
        calls=("forward",),
        modalities=("text", "image"),
        distributions=("torch", "numpy"),
        mode="export",
    ),
    replace(
        _EAGER,
        name="pytorch-compile",
        summary="PyTorch, torch.compile with inductor, transformers models",
        loads=tuple(Form("hf", precision) for precision in _PRECISIONS),
        cpu_only=(),
        source="https://docs.pytorch.org/docs/stable/generated/torch.compile.html",
        calls=("forward",),  # a language model compiles for minutes before its first token
        modalities=("text", "image"),
        mode="compile",
    ),
)

NAMES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


class Adapter:
    """One model: of transformers, called as it is or compiled, or a graph that was traced from one."""

    def __init__(self, device: str, threads: int, mode: str) -> None:
        import torch

        self.torch, self.device, self.mode = torch, device, mode
        if mode in ("", "compile"):  # graphs need no transformers, and their memory shows it
            import transformers

            self.transformers = transformers
        if mode == "compile":
            _prepare_inductor(device)
        torch.set_num_threads(threads)
        if torch.get_num_interop_threads() != 1:  # can be set once a process; by hand a second adapter follows
            torch.set_num_interop_threads(1)
        # An fp32 row on a GPU computes in fp32: cuDNN would use TF32 for convolutions by default.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Load a checkpoint (safetensors only) or a graph, in the precision in which it is stored."""
        if self.mode in ("torchscript", "export"):
            if manifest.precision == "int8":
                import torch.ao.quantization.fx._decomposed  # noqa: F401  registers what INT8 graphs quantize with
            self._load_graph(artifact, manifest.extra["inputs"])
        else:
            self._load_checkpoint(artifact, manifest)

    def _load_checkpoint(self, artifact: Path, manifest: Manifest) -> None:
        torch, auto = self.torch, getattr(self.transformers, manifest.auto_class)
        if manifest.precision == "int8":
            self.model = self._quantized(auto, artifact, manifest, torch.float32, self._int8_layers)
            self.arithmetic = "int8"
        elif manifest.precision == "int4":
            from int4 import layers

            self.model = self._quantized(auto, artifact, manifest, torch.bfloat16, layers)
            self.arithmetic = "bf16"
        elif manifest.precision == "clustered":
            self.model = self._clustered(artifact, manifest)
            self.arithmetic = "fp32"
        else:
            self.model = auto.from_pretrained(artifact, dtype="auto", use_safetensors=True, **options(artifact))
            # Checkpoints of torchao say themselves whether activations are quantized as well.
            own = manifest.extra.get("arithmetic")
            self.arithmetic = own or NAMES[str(self.model.dtype).removeprefix("torch.")]
        self.model.eval().requires_grad_(False).to(self.device)
        self.dtype = self.model.dtype
        self.known = set(inspect.signature(self.model.forward).parameters)
        self.options = {"use_cache": False} if "use_cache" in self.known else {}
        if self.mode == "compile":
            self.model = self.torch.compile(self.model)

    def _load_graph(self, artifact: Path, names: list[str]) -> None:
        """Graphs take their inputs by position, pixels as float32 in every precision, and hold the device of each constant."""
        torch, self.names, self.dtype = self.torch, names, self.torch.float32
        if self.mode == "torchscript":
            self.model = torch.jit.load(artifact / "model.pt", map_location=self.device).eval()
        else:
            program = torch.export.load(artifact / "model.pt2")
            if self.device != "cpu":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, self.device)
            self.model = program.module()
        self.arithmetic = NAMES[str(next(self.model.parameters()).dtype).removeprefix("torch.")]
        if self.mode == "torchscript":
            # Frozen, batch norms fold into convolutions: a small CNN takes 0.8 of its time. optimize_for_inference is left
            # alone: its oneDNN layouts make the same CNN twice as slow at batch 1.
            self.model = torch.jit.freeze(self.model)
            _move_constants(self.model.graph, self.device)

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One forward pass without a cache."""
        with self.torch.inference_mode():
            if self.mode in ("torchscript", "export"):
                return {"logits": self._array(self.model(*(self._tensor(inputs[name]) for name in self.names)))}
            feed = {name: self._tensor(array) for name, array in inputs.items() if name in self.known}
            output = self.model(**feed, **self.options)
            return {name: self._array(value) for name, value in output.items() if isinstance(value, self.torch.Tensor)}

    def prefill(self, input_ids: npt.NDArray[np.int64]) -> Array:
        """Forward pass that fills a new cache; only the last position goes through the language-model head."""
        self.cache = None
        return self._step(input_ids)

    def decode(self, token_ids: npt.NDArray[np.int64]) -> Array:
        """Forward pass of one token on top of the cache."""
        return self._step(token_ids[:, None])

    def _step(self, input_ids: npt.NDArray[np.int64]) -> Array:
        with self.torch.inference_mode():
            output = self.model(
                input_ids=self._tensor(input_ids), past_key_values=self.cache, use_cache=True, logits_to_keep=1
            )
            self.cache = output.past_key_values
            return self._array(output.logits[:, -1])

    def _tensor(self, array: Array) -> Any:
        tensor = self.torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def _array(self, tensor: Any) -> Array:
        array: Array = tensor.float().cpu().numpy()  # the copy from a GPU waits for the kernels: a synchronize
        return array

    def _clustered(self, artifact: Path, manifest: Manifest) -> Any:
        """Give every weight the fp32 value that its index stands for; indices are packed, the first in the lowest bits."""
        torch, extra, stored = self.torch, manifest.extra, _stored(artifact, manifest)
        bits = extra["index_bits"]
        shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
        for name, shape in extra["clustered"].items():
            packed, centroids = stored.pop(f"{name}.indices"), stored.pop(f"{name}.centroids")
            indices = ((packed[:, None] >> shifts) & (2**bits - 1)).flatten()[: math.prod(shape)]
            stored[name] = centroids[indices.int()].reshape(shape)
        config = self.transformers.AutoConfig.from_pretrained(artifact, **options(artifact))
        # An auto class takes no state without a folder.
        model_class = getattr(self.transformers, config.architectures[0])
        return model_class.from_pretrained(None, config=config, state_dict=stored, dtype=torch.float32)

    def _quantized(
        self, auto: Any, artifact: Path, manifest: Manifest, dtype: Any, quantized_layers: Callable[..., Any]
    ) -> Any:
        """Build the model without weights, put quantized layers in, then give every layer what is stored for it.

        ``dtype`` is that of all other weights. ``quantized_layers`` makes the layers, by name, of the tensors that it takes out
        of what is stored. No full copy of a quantized weight stays. Buffers that no checkpoint holds (rotary frequencies,
        position ids) are computed as usual: only parameters start out on the meta device.
        """
        from torch.nn.modules.module import register_module_parameter_registration_hook

        torch = self.torch

        def to_meta(module: Any, name: str, parameter: Any) -> Any:
            return None if parameter.is_meta else torch.nn.Parameter(parameter.to("meta"), requires_grad=False)

        config = self.transformers.AutoConfig.from_pretrained(artifact, **options(artifact))
        hook = register_module_parameter_registration_hook(to_meta)
        try:
            model = auto.from_config(config, dtype=dtype, trust_remote_code=has_own_code(artifact))
        finally:
            hook.remove()
        stored = _stored(artifact, manifest)
        layers = quantized_layers(stored, manifest.extra["quantized_linears"], self.device)
        model.load_state_dict(stored, strict=False, assign=True)
        for name, layer in layers.items():
            model.set_submodule(name, layer)
        model.tie_weights()
        missing = [name for name, parameter in model.named_parameters() if parameter.is_meta]
        if missing:
            raise ValueError(f"the checkpoint lacks {', '.join(missing[:3])}")
        return model

    def _int8_layers(self, stored: dict[str, Any], names: list[str], device: str) -> dict[str, Any]:
        """The layers of an int8 checkpoint by name; what belongs to them is taken out of ``stored``."""
        torch, made = self.torch, {}
        for name in names:
            weight, scale, bias = (stored.pop(f"{name}.{part}", None) for part in ("weight", "weight_scale", "bias"))
            packed = torch._make_per_channel_quantized_tensor(weight, scale.double(), torch.zeros(len(scale)).long(), 0)
            made[name] = torch.ao.nn.quantized.dynamic.Linear(weight.shape[1], weight.shape[0], dtype=torch.qint8)
            made[name].set_weight_bias(packed, bias)
        return made

    def precision(self) -> str:
        """The type of what is multiplied.

        ``int8`` where linear layers multiply int8 by int8 (activations are quantized per call), ``bf16`` where 4-bit weights
        are expanded inside the kernel.
        """
        return self.arithmetic

    def close(self) -> None:
        """Free the model and its cache."""
        self.model = self.cache = None


def _stored(artifact: Path, manifest: Manifest) -> dict[str, Any]:
    """Every tensor of a checkpoint, by name."""
    from safetensors.torch import load_file

    return {name: tensor for file in manifest.weights for name, tensor in load_file(artifact / file).items()}


def _prepare_inductor(device: str) -> None:
    """Ask for the C++ compiler that inductor's CPU kernels need, and keep inductor from holding processes and memory.

    Kernels are compiled one by one from this process, not by a pool of workers that would live on beside the measured model.
    Without precompiled headers the cache, in a container a part of its memory, stays small.
    """
    from torch._inductor import config

    compiler = os.environ.get("CXX", "g++")
    if device == "cpu" and not shutil.which(compiler):
        raise Unsupported(
            f"torch.compile needs the C++ compiler {compiler}, which is not here: apt-get install g++ python3-dev"
        )
    config.compile_threads = 1
    config.cpp_cache_precompile_headers = False


def _move_constants(graph: Any, device: str) -> None:
    """Let the devices that tracing wrote into a graph (of positions, of masks) be this one."""
    for node in graph.findAllNodes("prim::Constant", recurse=True):
        if node.output().type().kind() == "DeviceObjType":
            node.s_("value", device)
