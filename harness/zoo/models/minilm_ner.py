"""MiniLM-L6, fine-tuned to find named entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Context, Made
from harness.contracts.prepared import IGNORED
from harness.contracts.task import Row
from harness.tasks._text import first_subtokens
from harness.zoo import _minilm

TASK = "token-classification"
DATASET = "named-entities"
SOURCES, IMAGE, FORM = _minilm.SOURCES, _minilm.IMAGE, _minilm.FORM


def train(sources: Mapping[str, Path], rows: Sequence[Row], out: Path, context: Context) -> Made:
    """Train on sentences; the loss counts the first sub-token of each word."""
    labels = sorted({tag for row in rows for tag in row["tags"]}, key=lambda tag: (tag != "O", tag[2:], tag))

    def encode(tokenizer: Any) -> list[_minilm.Example]:
        encoded = tokenizer([row["tokens"] for row in rows], is_split_into_words=True, truncation=True)
        return [
            (ids, _targets(encoded.word_ids(i), [labels.index(tag) for tag in row["tags"]]))
            for i, (ids, row) in enumerate(zip(encoded["input_ids"], rows, strict=True))
        ]

    return _minilm.finetune(sources["encoder"], labels, encode, "sentences", out, context)


def _targets(word_ids: Sequence[int | None], classes: Sequence[int]) -> list[int]:
    """The class of each word at its first sub-token, IGNORED elsewhere."""
    targets = [IGNORED] * len(word_ids)
    for at, number in zip(first_subtokens(word_ids, len(classes)), classes, strict=True):
        if at >= 0:
            targets[at] = number
    return targets
