"""GGUF file -> hf checkpoint: weights dequantized to fp32, tokenizer included."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.checkpoint import WEIGHTS, load_model

CARD = ExporterCard(
    name="hf",
    summary="dequantize a GGUF file into an fp32 safetensors checkpoint with its tokenizer",
    accepts=(Form("gguf", "mixed"),),
    makes=Form("hf", "fp32"),
    source="https://huggingface.co/docs/transformers/gguf",
    calls=("generate",),
    modalities=("text",),
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Read the one GGUF file of ``source`` through transformers and save what it holds as fp32.

    transformers refuses to save the model that it dequantized, so its state goes into a fresh one first.
    Raises ConversionError where the file lacks tensors, or the saved checkpoint does not give back the same logits.
    """
    import torch
    import transformers

    (file,) = source.weights
    context.progress(0.0, "reading the GGUF file")
    location: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    auto = getattr(transformers, context.auto_class)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source.path, **location)
    read, told = auto.from_pretrained(source.path, dtype=torch.float32, output_loading_info=True, **location)
    if told["missing_keys"]:
        raise ConversionError(f"the GGUF file lacks the tensors of {', '.join(sorted(told['missing_keys'])[:5])}")
    read.eval()
    context.progress(0.5, "writing the checkpoint")
    config = deepcopy(read.config)
    del config.quantization_config  # "gguf": no longer true of the checkpoint, and other tools refuse it
    fresh = auto.from_config(config, dtype=torch.float32)
    fresh.load_state_dict(read.state_dict())
    fresh.tie_weights()
    fresh.save_pretrained(out, max_shard_size="1TB")  # one file, whatever the size
    tokenizer.save_pretrained(out)
    context.progress(0.8, "comparing")
    difference = _difference(read, load_model(out, context.auto_class), tokenizer)
    if difference > 0:
        raise ConversionError(f"the saved checkpoint differs from the GGUF file: logits by up to {difference:.2g}")
    kinds = ", ".join(f"{name} ({count} tensors)" for name, count in _types(file).most_common())
    return Made(
        weights=[WEIGHTS],
        effect={"max_abs_logit_difference": difference},
        provenance=[f"weights dequantized from GGUF: {kinds}"],
    )


def _difference(read: Any, saved: Any, tokenizer: Any) -> float:
    import torch

    tokens = tokenizer("The council met on Tuesday to discuss the new water supply.", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return float((read(tokens).logits - saved(tokens).logits).abs().max())


def _types(file: Path) -> Counter[str]:
    from gguf import GGUFReader

    return Counter(tensor.tensor_type.name for tensor in GGUFReader(file).tensors)
