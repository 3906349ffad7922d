"""MiniLM-L6, fine-tuned to tell which language a text is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Context, Made
from harness.contracts.task import Row
from harness.zoo import _minilm

TASK = "text-classification"
DATASET = "languages"
SOURCES, IMAGE, FORM = _minilm.SOURCES, _minilm.IMAGE, _minilm.FORM

_LONGEST = 64  # tokens of a text: half of them have 13, and what begins a longer one tells its language


def train(sources: Mapping[str, Path], rows: Sequence[Row], out: Path, context: Context) -> Made:
    """Train on texts, with one label each."""
    labels = sorted({row["label"] for row in rows})

    def encode(tokenizer: Any) -> list[_minilm.Example]:
        encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=_LONGEST)["input_ids"]
        return [(ids, labels.index(row["label"])) for ids, row in zip(encoded, rows, strict=True)]

    return _minilm.finetune(sources["encoder"], labels, encode, "texts", out, context)
