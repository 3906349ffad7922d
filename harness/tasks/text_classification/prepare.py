"""Texts and pairs of texts, as sub-tokens, and the classes that they are of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts import prepared
from harness.contracts.adapter import Array
from harness.contracts.task import Misfit, Row
from harness.tasks import _ragged, _text

_UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls a class that nobody gave a name
_DEFAULT_LABELS = ["LABEL_0", "LABEL_1"]  # transformers writes no names for two classes that have none
_LISTED = 12  # names of classes that a message lists


def problem(row: Row) -> str | None:
    """What is wrong with a row, or None."""
    for name in ("text", "text_pair"):
        if not isinstance(row.get(name, ""), str):
            return f"{name}: expected text, got {row[name]!r:.60}"
    label = row["label"]
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        return f"label: {label!r:.60} is no class"
    return None


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    """Write the rows' texts as the model's sub-tokens, what is too long cut off, and the numbers of their labels."""
    labels = _text.labels_of(model) or _DEFAULT_LABELS
    numbers = numbers_of([row["label"] for row in rows], labels)
    tokenizer, limit = _tokenizer(model)
    encoded = _encoded(rows, tokenizer, truncation=True, max_length=limit)
    ids, offsets = _ragged.flatten(encoded["input_ids"])
    arrays: dict[str, Array] = {"input_ids": ids, "offsets": offsets, "labels": np.array(numbers, np.int64)}
    if "token_type_ids" in encoded:
        arrays["token_type_ids"], _ = _ragged.flatten(encoded["token_type_ids"])
    prepared.save(out, {"labels": labels}, arrays)


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    """Write sequences [batch, sequence_length] that consecutive texts fill to the end: no padding."""
    tokenizer, limit = _tokenizer(model)
    encoded = _encoded(rows, tokenizer, add_special_tokens=False)
    inputs = _text.packed(encoded["input_ids"], tokenizer, limit, workload["batch"], workload["sequence_length"])
    prepared.save(out, {"workload": dict(workload)}, inputs)


def numbers_of(found: Sequence[str | int], labels: Sequence[str]) -> list[int]:
    """The number of each label among the model's, which are given in their order.

    A label is a number, or a name; digits that are no name are a number. Raises Misfit with the first that the model does not
    know.
    """
    known: dict[str | int, int] = {name: number for number, name in enumerate(labels)}
    numbers = []
    for label in found:
        number = known.get(label, _number(label))
        if number is None or not 0 <= number < len(labels):
            raise Misfit(_unknown(label, labels))
        numbers.append(number)
    return numbers


def _number(label: str | int) -> int | None:
    if isinstance(label, int):
        return label
    return int(label) if label.isascii() and label.isdigit() and len(label) < 10 else None


def _unknown(label: str | int, labels: Sequence[str]) -> str:
    if _number(label) is not None:
        return f"the label {label!r} is beyond the model's {len(labels)} classes, which begin with 0"
    if all(map(_UNNAMED.fullmatch, labels)):
        return f"the model does not name its {len(labels)} classes: the label {label!r:.60} has to be a number from 0"
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    return f"the label {label!r:.60} is none of the model's: {', '.join(labels[:_LISTED])}{more}"


def _encoded(rows: Sequence[Row], tokenizer: Any, **options: Any) -> Any:
    """Token ids of each row; where any row is a pair, all are taken for pairs."""
    texts = [row["text"] for row in rows]
    if not any("text_pair" in row for row in rows):
        return tokenizer(texts, verbose=False, **options)
    if missing := [number for number, row in enumerate(rows, start=1) if "text_pair" not in row]:
        raise Misfit(f"row {missing[0]} has no text_pair, others have: either all rows are pairs or none is")
    return tokenizer(texts, [row["text_pair"] for row in rows], verbose=False, **options)


def _tokenizer(model: Path) -> tuple[Any, int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    return tokenizer, _text.token_limit(tokenizer, model)
