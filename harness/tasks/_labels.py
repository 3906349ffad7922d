"""The classes of a model, and labels in data matched to them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from harness.contracts.task import Misfit

_UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls a class that nobody gave a name
_DEFAULT_LABELS = ["LABEL_0", "LABEL_1"]  # transformers writes no names for two classes that have none
_LISTED = 12  # names of classes that a message lists


def labels_of(model: Path) -> list[str]:
    """The names of the model's classes in their order, as ``id2label`` of its configuration has them."""
    named = json.loads((model / "config.json").read_text("utf-8")).get("id2label") or {}
    return [named[key] for key in sorted(named, key=int)] or _DEFAULT_LABELS


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
