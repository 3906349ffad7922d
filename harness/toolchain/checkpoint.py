"""hf checkpoints: a folder with ``config.json``, ``model.safetensors`` and, for text, the tokenizer's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from harness.contracts.artifact import MANIFEST, Artifact, ConversionError, Made
from harness.contracts.checkpoint import ADAPTER, has_own_code, options

WEIGHTS = "model.safetensors"
#: How the names of files end that hold weights, or list those that do.
_WEIGHT_FILES = (
    *(".safetensors", ".index.json", ".gguf", ".onnx", ".onnx_data", ".h5", ".msgpack"),
    *(".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"),
)
INDEX = ".safetensors.index.json"  # the end of the name of the index of a checkpoint in several files


def load_model(path: Path, auto_class: str, dtype: Any = "auto") -> Any:
    """The transformers model of a checkpoint, built by that class of transformers, in evaluation mode.

    Raises ConversionError for tensors that the checkpoint lacks: transformers would draw them at random.
    """
    import transformers

    auto = getattr(transformers, auto_class)
    model, told = auto.from_pretrained(
        path,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        **options(path),
    )
    if told["missing_keys"]:
        raise ConversionError(f"the checkpoint lacks {', '.join(sorted(told['missing_keys'])[:5])}")
    return model.eval()


def load_config(path: Path) -> Any:
    """The transformers configuration of a checkpoint."""
    import transformers

    return transformers.AutoConfig.from_pretrained(path, **options(path))


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a checkpoint, as transformers builds it."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(path, **options(path))


def empty_model(path: Path, auto_class: str) -> Any:
    """The same model without weights: its parameters are on the meta device and take no memory."""
    import torch
    import transformers

    with torch.device("meta"):
        return getattr(transformers, auto_class).from_config(load_config(path), trust_remote_code=has_own_code(path))


def copy_companions(source: Artifact, out: Path) -> None:
    """Copy the files of a checkpoint except its weights: configuration, tokenizer, templates, code of its own."""
    for file in source.path.iterdir():
        if file.is_file() and not file.name.endswith(_WEIGHT_FILES) and file.name not in (MANIFEST, ADAPTER):
            shutil.copyfile(file, out / file.name)


def amend_config(out: Path, *, dtype: str, **more: Any) -> None:
    """Set the type of the weights, and other fields, in a checkpoint's ``config.json``."""
    file = out / "config.json"
    config = json.loads(file.read_text("utf-8"))
    config.pop("torch_dtype", None)  # the older name of dtype
    file.write_text(json.dumps(config | {"dtype": dtype} | more, indent=2), "utf-8")


def cast(source: Artifact, out: Path, dtype: str) -> Made:
    """Write ``source`` with every floating-point tensor rounded to ``dtype`` ("float16", "bfloat16").

    Raises ConversionError where a finite weight would become infinite.
    """
    import torch
    from safetensors.torch import save_file

    target: torch.dtype = getattr(torch, dtype)
    stored = tensors(source)
    changed, weights, largest_change = 0, 0, 0.0
    for name, tensor in stored.items():
        weights += tensor.numel()
        if tensor.is_floating_point():
            rounded = tensor.to(target)
            if not torch.equal(rounded.isfinite(), tensor.isfinite()):
                raise ConversionError(f"{name} holds weights beyond the range of {dtype}")
            changed += 1
            largest_change = max(largest_change, float((rounded.to(tensor.dtype) - tensor).abs().max()))
            stored[name] = rounded
    copy_companions(source, out)
    amend_config(out, dtype=dtype)
    save_file(stored, out / WEIGHTS, {"format": "pt"})
    effect = {
        "tensors_changed": changed,
        "bits_per_weight": bits_per_weight(out / WEIGHTS, weights),
        "max_abs_weight_change": largest_change,
    }
    return Made([WEIGHTS], effect=effect)


def bits_per_weight(file: Path, weights: int) -> float:
    """Size of a weight file, scales and header included, over the number of weights in it."""
    return round(8 * file.stat().st_size / weights, 3)


def tensors(source: Artifact) -> dict[str, Any]:
    """Every tensor of a checkpoint by name, whether its weights are in one file or in several."""
    from safetensors.torch import load_file

    return {name: tensor for file in source.weights for name, tensor in load_file(file).items()}


def image_shape(path: Path) -> tuple[int, int, int]:
    """Channels, height and width of the images that a model was made for. Raises ConversionError where no file tells."""
    config = json.loads((path / "config.json").read_text("utf-8"))
    file = path / "preprocessor_config.json"
    processor = json.loads(file.read_text("utf-8")) if file.exists() else {}
    size = config.get("image_size") or processor.get("crop_size") or processor.get("size")
    if isinstance(size, dict):  # as processors write it
        edge = size.get("shortest_edge")
        size = [size.get("height") or edge, size.get("width") or edge]
    height, width = size if isinstance(size, list) else (size, size)
    if not isinstance(height, int) or not isinstance(width, int):
        raise ConversionError("the model's configuration names no image size")
    return config.get("num_channels", 3), height, width
