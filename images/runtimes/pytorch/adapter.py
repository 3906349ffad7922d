"""PyTorch in eager mode; transformers builds the model. The reference that every other runtime is held against."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.cards import Form, RuntimeCard
from harness.worker.adapter import Array, Arrays

CARDS = (
    RuntimeCard(
        name="pytorch",
        summary="PyTorch eager, transformers models",
        loads=(Form("hf", "fp32"), Form("hf", "bf16"), Form("hf", "fp16"), Form("hf", "int8")),
        cpu_only=(Form("hf", "int8"),),  # PyTorch's dynamically quantized linear layers have CPU kernels only
        devices=("cpu", "cuda"),
        source="https://docs.pytorch.org/docs/stable/notes/cpu_threading_torchscript_inference.html",
        tasks=("text-generation", "token-classification", "text-classification", "image-classification"),
        distributions=("torch", "transformers", "safetensors", "numpy"),
    ),
)

CLASSES = {
    "text-generation": "AutoModelForCausalLM",
    "token-classification": "AutoModelForTokenClassification",
    "text-classification": "AutoModelForSequenceClassification",
    "image-classification": "AutoModelForImageClassification",
}
NAMES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


class Adapter:
    """A transformers model in PyTorch's eager mode."""

    def __init__(self, device: str, threads: int, mode: str) -> None:
        import torch
        import transformers

        self.torch, self.transformers, self.device = torch, transformers, device
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        # An fp32 row on a GPU computes in fp32: cuDNN would use TF32 for convolutions by default.
        torch.backends.cudnn.allow_tf32 = False

    def load(self, artifact: Path, manifest: Mapping[str, Any]) -> None:
        """Load a checkpoint: safetensors only, in the precision in which it is stored."""
        auto = getattr(self.transformers, CLASSES[manifest["task"]])
        if manifest["precision"] == "int8":
            self.model = self._quantized(auto, artifact, manifest["extra"]["quantized_linears"])
            self.arithmetic = "int8"
        else:
            self.model = auto.from_pretrained(artifact, dtype="auto", local_files_only=True, use_safetensors=True)
            self.arithmetic = NAMES[str(self.model.dtype).removeprefix("torch.")]
        self.model.eval().requires_grad_(False).to(self.device)
        self.known = set(inspect.signature(self.model.forward).parameters)

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One forward pass without a cache."""
        options = {"use_cache": False} if "use_cache" in self.known else {}
        feed = {name: self._tensor(array) for name, array in inputs.items() if name in self.known}
        with self.torch.inference_mode():
            return {"logits": self._array(self.model(**feed, **options).logits)}

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
        return tensor.to(self.device, self.model.dtype if tensor.is_floating_point() else tensor.dtype)

    def _array(self, logits: Any) -> Array:
        array: Array = logits.float().cpu().numpy()  # the copy from a GPU waits for the kernels: a synchronize
        return array

    def _quantized(self, auto: Any, artifact: Path, linears: list[str]) -> Any:
        """Build the model without weights, put int8 layers in, then give every layer what is stored for it.

        No fp32 copy of a quantized weight ever exists. Buffers that no checkpoint holds (rotary frequencies, position
        ids) are computed as usual: only parameters start out on the meta device.
        """
        from safetensors.torch import load_file
        from torch.nn.modules.module import register_module_parameter_registration_hook

        torch = self.torch

        def to_meta(module: Any, name: str, parameter: Any) -> Any:
            return None if parameter.is_meta else torch.nn.Parameter(parameter.to("meta"), requires_grad=False)

        config = self.transformers.AutoConfig.from_pretrained(artifact, local_files_only=True)
        hook = register_module_parameter_registration_hook(to_meta)
        try:
            model = auto.from_config(config, dtype=torch.float32)
        finally:
            hook.remove()
        stored = load_file(artifact / "model.safetensors")
        parts = {n: [stored.pop(f"{n}.{p}", None) for p in ("weight", "weight_scale", "bias")] for n in linears}
        model.load_state_dict(stored, strict=False, assign=True)
        for name, (weight, scale, bias) in parts.items():
            packed = torch._make_per_channel_quantized_tensor(weight, scale.double(), torch.zeros(len(scale)).long(), 0)
            layer = torch.ao.nn.quantized.dynamic.Linear(weight.shape[1], weight.shape[0], dtype=torch.qint8)
            layer.set_weight_bias(packed, bias)
            model.set_submodule(name, layer)
        model.tie_weights()
        missing = [name for name, parameter in model.named_parameters() if parameter.is_meta]
        if missing:
            raise ValueError(f"the checkpoint lacks {', '.join(missing[:3])}")
        return model

    def precision(self) -> str:
        """The type of the weights; ``int8`` where linear layers multiply int8 by int8 (activations quantized per call)."""
        return self.arithmetic

    def close(self) -> None:
        """Free the model and its cache."""
        self.model = self.cache = None
