"""What a fetched folder holds: its format, the precision of its weights, and which files the weights are."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any, TypedDict

from harness.errors import SourceError

#: Element types of the safetensors format -> our precisions.
PRECISIONS = {
    "F64": "fp64",
    "F32": "fp32",
    "F16": "fp16",
    "BF16": "bf16",
    "F8_E4M3": "fp8",
    "F8_E5M2": "fp8",
    "I8": "int8",
    "U8": "int8",
}
_HEADER_LIMIT = 100_000_000  # the format's own limit, bytes


class Description(TypedDict):
    """A model as found in a folder; ``weights`` are names relative to the folder."""

    format: str
    precision: str
    weights: list[str]


def describe_model(folder: Path) -> Description:
    """Tell what model ``folder`` holds. Raises SourceError where it holds none that is known, or a broken one."""
    ggufs = _names(folder, "*.gguf")
    if ggufs:
        return {"format": "gguf", "precision": "mixed", "weights": ggufs}
    safetensors = _names(folder, "*.safetensors")
    configured = (folder / "config.json").is_file()
    if configured and safetensors:
        precision = _dominant_precision([folder / name for name in safetensors])
        return {"format": "hf", "precision": precision, "weights": safetensors}
    onnx = _names(folder, "*.onnx")
    if onnx:
        return {"format": "onnx", "precision": "fp32", "weights": sorted({*onnx, *_names(folder, "*.onnx[._]data")})}
    pickles = _names(folder, "*.bin")
    if configured and pickles:
        return {"format": "hf", "precision": _configured_precision(folder / "config.json"), "weights": pickles}
    missing = "config.json is missing beside the safetensors" if safetensors else "no known weights"
    raise SourceError(
        f"{folder}: not a model: {missing}",
        "expected *.gguf, *.onnx, or config.json with *.safetensors at the top of the source",
    )


def _names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern) if path.is_file())


def _dominant_precision(files: list[Path]) -> str:
    """The precision of most elements over all files."""
    elements: Counter[str] = Counter()
    for file in files:
        for tensor in _safetensors_header(file).values():
            elements[PRECISIONS.get(tensor["dtype"], tensor["dtype"].lower())] += prod(tensor["shape"])
    return elements.most_common(1)[0][0] if elements else "fp32"


class _Tensor(TypedDict):
    dtype: str
    shape: list[int]


def _safetensors_header(file: Path) -> dict[str, _Tensor]:
    """The header: 8 bytes of little-endian length, then JSON (the safetensors format, version 1)."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_HEADER_LIMIT, file.stat().st_size - 8):
                raise ValueError(f"a header of {length} bytes cannot be")
            return _tensors(json.loads(stream.read(length)))
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{file}: not a safetensors file ({error})", "fetch it again: it is broken or cut short"
        ) from error


def _tensors(header: Any) -> dict[str, _Tensor]:
    """The tensors of a header; raises ValueError where it is not what the format says."""
    if not isinstance(header, dict):
        raise ValueError("its header is no mapping")
    found = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
    for name, tensor in found.items():
        shape = tensor.get("shape") if isinstance(tensor, dict) else None
        if not isinstance(shape, list) or not isinstance(tensor.get("dtype"), str):
            raise ValueError(f"{name[:60]!r} has no dtype and shape")
        if not all(type(edge) is int and 0 <= edge < 2**48 for edge in shape) or len(shape) > 32:
            raise ValueError(f"{name[:60]!r} has an impossible shape")
    return found


def _configured_precision(config: Path) -> str:
    try:
        text = json.loads(config.read_text("utf-8"))
        if not isinstance(text, dict):
            raise ValueError("no mapping")
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{config}: not a configuration ({error})", "fetch it again: it is broken") from error
    named = str(text.get("dtype") or text.get("torch_dtype") or "float32")
    return {"float16": "fp16", "bfloat16": "bf16"}.get(named, "fp32")
