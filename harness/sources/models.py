"""What a fetched folder holds: its format, the precision of its weights, and which files the weights are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from harness.errors import SourceError
from harness.sources import gguf_header, onnx_tensors, safetensors_header

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
_MOST_JSON = 50_000_000  # bytes of a configuration, or of the index of a checkpoint in several files


class Description(TypedDict):
    """A model as found in a folder; ``weights`` are names relative to the folder."""

    format: str
    precision: str
    weights: list[str]


def describe_model(folder: Path) -> Description:
    """Tell what model ``folder`` holds. Raises SourceError where it holds none that is known, or a broken one."""
    ggufs = _names(folder, "*.gguf")
    for name in ggufs:
        with _broken_told(folder / name, "sound GGUF file"):
            gguf_header.require_sound(folder / name)
    if ggufs:
        return {"format": "gguf", "precision": "mixed", "weights": ggufs}
    safetensors = _names(folder, "*.safetensors")
    configured = (folder / "config.json").is_file()
    if configured and safetensors:
        _require_shards(folder, safetensors)
        precision = _dominant_precision([folder / name for name in safetensors])
        return {"format": "hf", "precision": precision, "weights": safetensors}
    onnx = _names(folder, "*.onnx")
    if onnx:
        return {"format": "onnx", "precision": "fp32", "weights": sorted({*onnx, *_data_of(folder, onnx)})}
    pickles = _names(folder, "*.bin")
    if configured and pickles:
        return {"format": "hf", "precision": _configured_precision(folder / "config.json"), "weights": pickles}
    missing = "config.json is missing beside the safetensors" if safetensors else "no known weights"
    raise SourceError(
        f"not a model: {missing}",
        "expected *.gguf, *.onnx, or config.json with *.safetensors at the top of the source",
    )


def _names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern) if path.is_file())


def _dominant_precision(files: list[Path]) -> str:
    """The precision of most elements over all files."""
    elements: Counter[str] = Counter()
    for file in files:
        with _broken_told(file, "safetensors file"):
            for tensor in safetensors_header.read(file):
                elements[PRECISIONS.get(tensor.dtype, tensor.dtype.lower())] += tensor.elements
    return elements.most_common(1)[0][0] if elements else "fp32"


def _require_shards(folder: Path, there: list[str]) -> None:
    """Raise SourceError where an index of a checkpoint in several files names one that is not there."""
    for name in _names(folder, "*.safetensors.index.json"):
        files = _json(folder / name).get("weight_map")
        named = set(files.values()) if isinstance(files, dict) and all(map(_is_text, files.values())) else {""}
        if missing := sorted(named - set(there)):
            problem = f"{name}: names {missing[0][:80]!r}, and no such safetensors file is beside it"
            raise SourceError(problem, "fetch the source again: it is not whole")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _data_of(folder: Path, graphs: list[str]) -> set[str]:
    """The files in which ONNX graphs keep weights."""
    found: set[str] = set()
    for name in graphs:
        with _broken_told(folder / name, "sound ONNX graph"):
            found.update(onnx_tensors.external_files(folder / name))
    return found


@contextmanager
def _broken_told(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        problem = f"{file.name}: not a {what} ({str(error) or type(error).__name__})"
        raise SourceError(problem, "fetch it again: it is broken or cut short") from error


def _json(file: Path) -> dict[str, Any]:
    """A mapping in a JSON file of a checkpoint. Raises SourceError."""
    with _broken_told(file, "configuration"):
        if (size := file.stat().st_size) > _MOST_JSON:
            raise ValueError(f"{size:,} bytes; {_MOST_JSON:,} are read")
        found = json.loads(file.read_bytes().decode("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no mapping")
        return found


def _configured_precision(config: Path) -> str:
    text = _json(config)
    named = str(text.get("dtype") or text.get("torch_dtype") or "float32")
    return {"float16": "fp16", "bfloat16": "bf16"}.get(named, "fp32")
