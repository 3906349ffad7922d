"""The step that brings a fetched checkpoint into the one layout that passes and exporters read.

transformers loads the source's own files, as its authors would: shards, pickled weights, older tensor names, experts to be
fused, an adapter beside or above its base. What it loaded is saved as one ``model.safetensors`` under the names of the
model's modules. A tensor that the checkpoint lacks would be drawn at random, so that one is refused here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form
from harness.contracts.checkpoint import ADAPTER, ADAPTER_WEIGHTS
from harness.toolchain.artifacts import finish, read_artifact
from harness.toolchain.checkpoint import WEIGHTS, amend_config, copy_companions, load_model, load_tokenizer

#: Precision of an artifact -> type of its tensors.
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_LISTED = 5  # names that a message lists


def run(spec: Mapping[str, Any], out: Path, context: Context) -> None:
    """Load, save and load again. The spec holds the ``precision`` to save in, and ``trust``.

    Raises ConversionError where the checkpoint lacks tensors, has tensors of other shapes, or cannot be loaded.
    """
    source = read_artifact(context.inputs["artifact"])
    base = read_artifact(context.inputs["base"]) if "base" in context.inputs else source
    context.progress(0.0, "loading the checkpoint")
    model, notes = _load(source, base, DTYPES[spec["precision"]], context.auto_class, bool(spec["trust"]))
    context.progress(0.5, "writing it")
    # The source's own files stay as they are: transformers would rewrite its configuration, which other tools then misread.
    for files in [source] if base is source else [base, source]:
        copy_companions(files, out)
    if context.use.modality == "text":
        _convert_tokenizer(out)
    amend_config(out, dtype=DTYPES[spec["precision"]])
    _save(model, out)
    context.progress(0.8, "comparing")
    _require_same(model, out, context.auto_class)
    form = Form("hf", spec["precision"])
    if source.manifest.precision != form.precision:
        notes.append(f"the weights are stored in {source.manifest.precision}, here in {form.precision}")
    finish(source.manifest, form, Made([WEIGHTS], provenance=notes), out)


# --- loading -----------------------------------------------------------------------------------------------------------


def _load(source: Artifact, base: Artifact, dtype: str, auto_class: str, trust: bool) -> tuple[Any, list[str]]:
    """The model, an adapter merged into it, and what a reader must know of it."""
    import torch
    import transformers

    adapter = _adapter(source.path)
    options: dict[str, Any] = {
        "dtype": getattr(torch, dtype),
        "local_files_only": True,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # so that all of them can be named
        "weights_only": not trust,
        "trust_remote_code": trust,
    }
    with TemporaryDirectory() as scratch:
        folder = _without_adapter(base.path, Path(scratch)) if adapter else base.path
        try:
            model, told = getattr(transformers, auto_class).from_pretrained(folder, **options)
        except Exception as error:
            if "trust_remote_code" in str(error):
                raise ConversionError(_OWN_CODE) from error
            raise ConversionError(f"transformers does not load the checkpoint: {_first_line(error)}") from error
    given = set(adapter.get("modules_to_save") or _HEADS) if adapter else set()
    _require_complete(told, given, auto_class)
    notes = (
        [f"tensors of the checkpoint that the model does not use: {_some(unused)}"] if (unused := _unused(told)) else []
    )
    if adapter:
        model = _merged(model, source.path)
        notes.append(f"{adapter.get('peft_type', 'an')} adapter merged into the weights (rank {adapter.get('r', '?')})")
    return model.eval(), notes


_OWN_CODE = "the model brings Python of its own: set `trust: true` in its entry if you trust its author"

#: Modules that peft saves beside an adapter of a classifier without being told.
_HEADS = ("classifier", "score")


def _adapter(folder: Path) -> dict[str, Any] | None:
    """The configuration of the adapter in a folder, or None."""
    if not (folder / ADAPTER).is_file():
        return None
    if not any((folder / name).is_file() for name in ADAPTER_WEIGHTS):
        raise ConversionError(
            f"{ADAPTER} is there, but none of {', '.join(ADAPTER_WEIGHTS)}: the adapter has no weights"
        )
    read: dict[str, Any] = json.loads((folder / ADAPTER).read_text("utf-8"))
    return read


def _without_adapter(folder: Path, scratch: Path) -> Path:
    """The same files but the adapter's: beside one transformers would look for the base under its name on a hub."""
    for file in folder.iterdir():
        if file.name not in (ADAPTER, *ADAPTER_WEIGHTS):
            (scratch / file.name).symlink_to(file.resolve())
    return scratch


def _merged(model: Any, folder: Path) -> Any:
    """The model with the adapter's changes in its own weights (peft's ``merge_and_unload``).

    Raises ConversionError where the adapter was made for another base.
    """
    import torch
    from peft import PeftConfig, PeftModel, load_peft_weights, set_peft_model_state_dict

    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights = load_peft_weights(str(folder), device="cpu")
    config = PeftConfig.from_pretrained(folder)
    # peft expects a classifier's head beside an adapter for a task, whether it was saved or not.
    heads = {head for head in _HEADS if any(head in name.split(".") for name in weights)}
    config.task_type, config.modules_to_save = None, sorted({*(config.modules_to_save or ()), *heads}) or None
    wrapped = PeftModel(model, config)
    told = set_peft_model_state_dict(wrapped, weights)
    lacking = [name for name in told.missing_keys if "lora_" in name or "modules_to_save" in name]
    if lacking or told.unexpected_keys:
        found = f"it lacks {_some(lacking)}" if lacking else f"{_some(sorted(told.unexpected_keys))} fit nowhere"
        raise ConversionError(f"the adapter does not fit its base: {found}")
    merged = wrapped.merge_and_unload(safe_merge=True)
    after = merged.state_dict()
    if all(torch.equal(tensor, before[name]) for name, tensor in after.items()):
        raise ConversionError("the adapter changes no weight of its base")
    return merged


def _require_complete(told: Mapping[str, Any], given: set[str], auto_class: str) -> None:
    """Raise ConversionError for tensors that the checkpoint lacks, or has in another shape; ``given`` come later."""
    missing = sorted(name for name in told["missing_keys"] if not given & set(name.split(".")))
    if missing:
        head = "; it may be a model without a head for this task: fine-tune it first" if _only_head(missing) else ""
        raise ConversionError(
            f"the checkpoint lacks {_counted(missing)} that {auto_class} needs: {_some(missing)}{head}"
        )
    wrong = sorted(told["mismatched_keys"])
    if wrong:
        name, found, wanted = wrong[0]
        raise ConversionError(
            f"{_counted(wrong)} of the checkpoint do not fit its config.json: {name} is {list(found)}, "
            f"expected {list(wanted)}; is id2label or num_labels missing there?"
        )
    if told.get("error_msgs"):
        raise ConversionError(f"the checkpoint was not loaded as a whole: {' '.join(told['error_msgs'][0].split())}")


def _only_head(missing: Iterable[str]) -> bool:
    """Whether all that is missing lies at the top of the model, beside its body."""
    return all(name.split(".")[0] in ("classifier", "score", "lm_head", "qa_outputs", "head") for name in missing)


def _unused(told: Mapping[str, Any]) -> list[str]:
    return sorted(told["unexpected_keys"])


# --- saving ------------------------------------------------------------------------------------------------------------


def _save(model: Any, out: Path) -> None:
    """Write the weights in one file."""
    with TemporaryDirectory(dir=out) as scratch:
        model.save_pretrained(scratch, max_shard_size="1000TB", save_original_format=_converts(model))
        Path(scratch, WEIGHTS).rename(out / WEIGHTS)


def _converts(model: Any) -> bool:
    """Whether loading fused or split tensors: tools that read the file expect them as the authors stored them."""
    from transformers.core_model_loading import WeightConverter

    return any(isinstance(each, WeightConverter) for each in getattr(model, "_weight_conversions", None) or ())


_TOKENIZERS = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "tekken.json", "qwen.tiktoken"),
    *("tokenizer.model", "sentencepiece.bpe.model", "spiece.model", "spm.model", "source.spm"),
)


def _convert_tokenizer(out: Path) -> None:
    """Give the artifact a ``tokenizer.json``: converted by transformers where the source has another kind of file."""
    if not any((out / name).is_file() for name in _TOKENIZERS):
        raise ConversionError(
            "the checkpoint has no tokenizer: put tokenizer.json or its vocabulary beside config.json"
        )
    if (out / "tokenizer.json").is_file():
        return
    try:
        tokenizer = load_tokenizer(out)
    except Exception as error:
        raise ConversionError(f"transformers does not load the tokenizer: {_first_line(error)}") from error
    tokenizer.save_pretrained(out)


# --- checking ----------------------------------------------------------------------------------------------------------


def _require_same(model: Any, out: Path, auto_class: str) -> None:
    """Raise ConversionError unless the file gives back the very same tensors.

    Under the names of modules they are read from it one by one. In the authors' layout transformers loads it once more.
    """
    from safetensors import safe_open

    kept = model.state_dict()
    if _converts(model):
        again = load_model(out, auto_class, dtype=model.dtype).state_dict()
        wrong = [name for name, tensor in kept.items() if not _equal(tensor, again.get(name))]
    else:
        with safe_open(out / WEIGHTS, framework="pt") as file:
            stored = set(file.keys())
            wrong = [name for name in stored if not _equal(file.get_tensor(name), kept.get(name))]
        # What is tied is stored once.
        places = {kept[name].data_ptr() for name in stored & kept.keys()}
        unsaved = set(getattr(model, "_keys_to_ignore_on_save", None) or ())
        wrong += [name for name in kept.keys() - stored - unsaved if kept[name].data_ptr() not in places]
    if wrong:
        raise ConversionError(f"the saved checkpoint differs from what was loaded: {_some(sorted(wrong))}")


def _equal(one: Any, other: Any) -> bool:
    """Bit by bit, so that a NaN equals itself."""
    import torch

    if other is None or (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    bits, others = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return bool(torch.equal(bits, others))


# --- words -------------------------------------------------------------------------------------------------------------


def _counted(items: list[Any]) -> str:
    return "1 tensor" if len(items) == 1 else f"{len(items)} tensors"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    return f"{type(error).__name__}: {lines[0][:300]}"
