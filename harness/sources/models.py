"""What a model's files are: their format, the precision of the weights, and which files the weights are.

The rules are those of the libraries that load them: transformers takes ``model.safetensors`` or the shards that its index
lists, else ``pytorch_model.bin``; other files of weights beside them are not loaded, and so do not count.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from harness.contracts.checkpoint import ADAPTER, ADAPTER_WEIGHTS
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
_INDEX = ".index.json"
_FOREIGN = {  # weights of other libraries, which are not read
    "tf_model.h5": "TensorFlow",
    "flax_model.msgpack": "Flax",
    "model.ckpt.index": "TensorFlow 1",
}
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")  # as llama.cpp splits and loads them
_EXPECTED = "expected config.json with model.safetensors, a *.gguf or a *.onnx at the top of the source"
_MOST_JSON = 50_000_000  # bytes of a configuration, or of the index of a checkpoint in several files


class Description(TypedDict):
    """A model as found in a folder; ``weights`` are names relative to the folder."""

    format: str
    precision: str
    weights: list[str]


def describe_model(folder: Path) -> Description:
    """Tell what model ``folder`` holds. Raises SourceError where it holds none that is known, or a broken one."""
    return describe({path.name: path for path in folder.iterdir() if path.is_file()}, str(folder))


def describe(files: Mapping[str, Path], where: str) -> Description:
    """Tell what model the files at the top of a source are; ``where`` names the source in messages.

    Raises SourceError where they are none that is known, or a broken one, or several.
    """
    weights = checkpoint_weights(files, where)
    if weights:
        return {"format": "hf", "precision": _precision(files, weights), "weights": weights}
    if ggufs := [name for name in files if name.lower().endswith(".gguf")]:
        weights = _one_gguf(ggufs, where)
        for name in weights:
            with _broken_told(files[name], "sound GGUF file"):
                gguf_header.require_sound(files[name])
        return {"format": "gguf", "precision": "mixed", "weights": weights}
    if graphs := sorted(name for name in files if name.lower().endswith(".onnx")):
        return {"format": "onnx", "precision": "fp32", "weights": sorted({*graphs, *_data_of(files, graphs)})}
    raise _no_model(files, where)


def checkpoint_weights(files: Mapping[str, Path], where: str) -> list[str]:
    """The files of an hf checkpoint, or of an adapter alone, that are loaded; empty where the files are none.

    Raises SourceError where the index of a checkpoint lists files that are not there.
    """
    if "config.json" in files:
        names = ("model.safetensors", "pytorch_model.bin")
    elif ADAPTER in files:
        names = ADAPTER_WEIGHTS
    else:
        return []
    for name in names:
        if name in files:
            return [name]
        if (index := name + _INDEX) in files:
            shards = _shards(files[index], where)
            if missing := [shard for shard in shards if shard not in files]:
                some = ", ".join(missing[:3])
                raise SourceError(
                    f"{where}: {index} lists {some}, which {'is' if len(missing) == 1 else 'are'} not there",
                    "fetch the source again: it is not complete",
                )
            return shards
    return []


def _shards(index: Path, where: str) -> list[str]:
    """The files that the index of a checkpoint lists."""
    named = read_object(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(file, str) for file in named.values()) or not named:
        raise SourceError(f"{where}: {index.name} lists no weights", "fetch it again: it is broken")
    return sorted(set(named.values()))


def _one_gguf(names: Iterable[str], where: str) -> list[str]:
    """The one model of several GGUF files: a file, or all shards of one."""
    models: dict[str, list[str]] = {}
    for name in sorted(names):
        shard = _SHARD.fullmatch(name)
        models.setdefault(shard["stem"] if shard else name, []).append(name)
    if len(models) > 1:
        first = [files[0] for files in models.values()]
        more = f" and {len(first) - 5} more" if len(first) > 5 else ""
        raise SourceError(
            f"{where}: holds {len(models)} GGUF models: {', '.join(first[:5])}{more}", f"name one: `file: {first[0]}`"
        )
    (files,) = models.values()
    shard = _SHARD.fullmatch(files[0])
    if shard and len(files) != int(shard["count"]):
        raise SourceError(
            f"{where}: {len(files)} of the {int(shard['count'])} parts of {shard['stem']} are there",
            "put all parts of a split GGUF into one folder",
        )
    return files


def _no_model(files: Mapping[str, Path], where: str) -> SourceError:
    """Why these files are no model that is read."""
    for name, library in _FOREIGN.items():
        if name in files:
            cure = "load it with transformers and save it again: `save_pretrained` writes model.safetensors"
            return SourceError(f"{where}: holds weights of {library} alone ({name})", cure)
    safetensors = sorted(name for name in files if name.endswith(".safetensors"))
    if safetensors and "config.json" not in files:
        return SourceError(f"{where}: not a model: config.json is missing beside the safetensors", _EXPECTED)
    if safetensors:
        cure = f"transformers loads model.safetensors: rename {safetensors[0]}, or take a source that has it"
        return SourceError(f"{where}: not a model: the weights are called {safetensors[0]}", cure)
    if "config.json" in files:
        return SourceError(f"{where}: not a model: it has a config.json, but no weights", _EXPECTED)
    found = ", ".join(sorted(files)[:5]) or "nothing"
    return SourceError(f"{where}: not a model: no known weights among {found}", _EXPECTED)


# --- precision ---------------------------------------------------------------------------------------------------------


def _precision(files: Mapping[str, Path], weights: list[str]) -> str:
    """Of most elements of the weights; of pickles, which are not opened here, what the configuration says."""
    if weights[0].endswith(".safetensors"):
        return _dominant_precision([files[name] for name in weights])
    return configured_precision(files["config.json"]) if "config.json" in files else "fp32"


def _dominant_precision(files: list[Path]) -> str:
    """The precision of most elements over all files."""
    elements: Counter[str] = Counter()
    for file in files:
        with _broken_told(file, "safetensors file"):
            for tensor in safetensors_header.read(file):
                elements[PRECISIONS.get(tensor.dtype, tensor.dtype.lower())] += tensor.elements
    return elements.most_common(1)[0][0] if elements else "fp32"


def _data_of(files: Mapping[str, Path], graphs: list[str]) -> set[str]:
    """The files in which ONNX graphs keep weights."""
    found: set[str] = set()
    for name in graphs:
        with _broken_told(files[name], "sound ONNX graph"):
            found.update(onnx_tensors.external_files(files[name]))
    return found


@contextmanager
def _broken_told(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        problem = f"{file.name}: not a {what} ({str(error) or type(error).__name__})"
        raise SourceError(problem, "fetch it again: it is broken or cut short") from error


def configured_precision(config: Path) -> str:
    """What a ``config.json`` says of the type of the weights; fp32 where it says nothing. Raises SourceError."""
    text = read_object(config)
    named = str(text.get("dtype") or text.get("torch_dtype") or "float32")
    return {"float16": "fp16", "bfloat16": "bf16"}.get(named, "fp32")


def read_object(file: Path) -> dict[str, Any]:
    """The mapping in a JSON file of a checkpoint. Raises SourceError."""
    with _broken_told(file, "configuration"):
        if (size := file.stat().st_size) > _MOST_JSON:
            raise ValueError(f"{size:,} bytes; {_MOST_JSON:,} are read")
        found = json.loads(file.read_bytes().decode("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no mapping")
        return found
