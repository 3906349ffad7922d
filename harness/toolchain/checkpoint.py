"""hf checkpoints: a folder with ``config.json``, ``model.safetensors`` and, for text, the tokenizer's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from harness.contracts.artifact import MANIFEST, Artifact, ConversionError, Made

WEIGHTS = "model.safetensors"

#: Name in transformers of the class that builds a model for a task.
CLASSES = {
    "text-generation": "AutoModelForCausalLM",
    "token-classification": "AutoModelForTokenClassification",
    "text-classification": "AutoModelForSequenceClassification",
    "image-classification": "AutoModelForImageClassification",
}


def load_model(path: Path, task: str) -> Any:
    """The transformers model of a checkpoint, in evaluation mode."""
    import transformers

    auto = getattr(transformers, CLASSES[task])
    return auto.from_pretrained(path, local_files_only=True, use_safetensors=True).eval()


def empty_model(path: Path, task: str) -> Any:
    """The same model without weights: its parameters are on the meta device and take no memory."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
    with torch.device("meta"):
        return getattr(transformers, CLASSES[task]).from_config(config)


def copy_companions(source: Artifact, out: Path) -> None:
    """Copy what belongs to a checkpoint but its weights: configuration, tokenizer, templates."""
    for file in source.path.iterdir():
        if file.is_file() and file.suffix != ".safetensors" and file.name != MANIFEST:
            shutil.copyfile(file, out / file.name)


def cast(source: Artifact, out: Path, dtype: str) -> Made:
    """Write ``source`` with every floating-point tensor rounded to ``dtype`` ("float16", "bfloat16").

    Raises ConversionError where a finite weight would become infinite.
    """
    import torch
    from safetensors.torch import load_file, save_file

    target: torch.dtype = getattr(torch, dtype)
    tensors = load_file(source.path / WEIGHTS)
    changed, weights, largest_change = 0, 0, 0.0
    for name, tensor in tensors.items():
        weights += tensor.numel()
        if tensor.is_floating_point():
            rounded = tensor.to(target)
            if not torch.equal(rounded.isfinite(), tensor.isfinite()):
                raise ConversionError(f"{name} holds weights beyond the range of {dtype}")
            changed += 1
            largest_change = max(largest_change, float((rounded.to(tensor.dtype) - tensor).abs().max()))
            tensors[name] = rounded
    copy_companions(source, out)
    config = json.loads((out / "config.json").read_text("utf-8"))
    config.pop("torch_dtype", None)  # the older name of the same key
    (out / "config.json").write_text(json.dumps(config | {"dtype": dtype}, indent=2), "utf-8")
    save_file(tensors, out / WEIGHTS, {"format": "pt"})
    effect = {
        "tensors_changed": changed,
        "bits_per_weight": bits_per_weight(out / WEIGHTS, weights),
        "max_abs_weight_change": largest_change,
    }
    return Made([WEIGHTS], effect=effect)


def bits_per_weight(file: Path, weights: int) -> float:
    """Size of a weight file, scales and header included, over the number of weights in it."""
    return round(8 * file.stat().st_size / weights, 3)
