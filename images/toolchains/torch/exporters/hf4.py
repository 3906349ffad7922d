"""hf checkpoint -> the same for transformers 4, with the proof to come: inputs, and the logits that transformers 5 answers.

Libraries that need transformers 4 run in images of their own and read this form. Transformers 4 reads what transformers 5
writes without complaint, and computes something else where the configuration changed its words: its readers compare.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.checkpoint import INDEX, copy_companions, load_model
from harness.toolchain.parity import sample_inputs, source_logits

CARD = ExporterCard(
    name="hf4",
    summary="rewrite a checkpoint's configuration for transformers 4, with reference logits to compare with",
    accepts=(Form("hf", "fp32"),),
    makes=Form("hf4", "fp32"),
    source="https://github.com/huggingface/transformers/blob/main/MIGRATION_GUIDE_V5.md",
    calls=("forward", "generate"),
    modalities=("text", "image"),
)

#: Inputs by name, and ``logits``, as float32; the batch is one that no exporter traces with.
PARITY = "parity.npz"


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Copy the weights as they are, rewrite the configuration, and store what the model answers.

    Raises ConversionError where the rotary positions are scaled: transformers 4 keeps that under other names.
    """
    context.progress(0.1, "computing reference logits")
    model = load_model(source.path, context.auto_class)
    inputs = sample_inputs(source.path, model.config, context.use, batch=3)
    np.savez(out / PARITY, allow_pickle=False, **inputs, logits=source_logits(model, inputs))
    copy_companions(source, out)
    for file in (*source.weights, *source.path.glob(f"*{INDEX}")):
        shutil.copyfile(file, out / file.name)
    rewritten = [*_rewrite(out / "config.json", _configuration), *_rewrite(out / "tokenizer_config.json", _tokenizer)]
    return Made([file.name for file in source.weights], effect={"keys_rewritten": ", ".join(rewritten) or "none"})


def _rewrite(file: Path, change: Any) -> list[str]:
    """Apply ``change`` to a JSON file, if there is one; the keys that it wrote."""
    if not file.exists():
        return []
    before = json.loads(file.read_text("utf-8"))
    after = change(dict(before))
    file.write_text(json.dumps(after, indent=2, ensure_ascii=False), "utf-8")
    return [key for key in after if after[key] != before.get(key)]


def _configuration(config: dict[str, Any]) -> dict[str, Any]:
    rope = config.pop("rope_parameters", None)
    if rope is None:
        return config
    if rope.get("rope_type", "default") != "default" or "rope_theta" not in rope:
        raise ConversionError(f"rotary positions of the type {rope.get('rope_type')} cannot be told to transformers 4")
    return config | {"rope_theta": rope["rope_theta"]}


def _tokenizer(config: dict[str, Any]) -> dict[str, Any]:
    """The general class of transformers 4 reads ``tokenizer.json`` as it is, whatever class transformers 5 calls it by."""
    return config | {"tokenizer_class": "PreTrainedTokenizerFast"}
