"""The rows of a step's data set: one of the zoo, or the user's own files; and those that a pass may calibrate on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from harness import tasks, zoo
from harness.contracts.artifact import Context, ConversionError
from harness.tasks import Array, Row

_OWN = "path:"


def rows_of(dataset: str, split: str, folders: Mapping[str, Path]) -> list[Row]:
    """The rows of ``train`` or ``evaluate``; ``folders`` are the fetched sources of the data set by name.

    A data set written ``path:...`` is one folder with ``train`` and ``evaluate`` files, or one file, to evaluate on:

    =========  ===================================================================================
    ``.txt``   plain text, UTF-8
    ``.jsonl`` an object a line: ``{"text": ...}`` or ``{"tokens": [...], "tags": [...]}``
    ``.conll`` columns as CoNLL-2003 has them: a word a line, its tag last, a blank line between sentences
    ``.npz``   ``images`` [n, height, width(, channels)], uint8 or float in 0..1, and ``labels`` [n]
    =========  ===================================================================================

    Raises ConversionError where there are no such files or no rows.
    """
    if dataset.startswith(_OWN):
        file = _own_file(next(iter(folders.values())), split)
        rows = _READERS[file.suffix](file)
    else:
        rows = zoo.dataset(dataset).rows(split, folders)
    if not rows:
        raise ConversionError(f"the data set {dataset} has no rows to {split}")
    return rows


def calibration_rows(context: Context, wanted: int) -> list[dict[str, Array]]:
    """Model inputs [1, ...] of ``wanted`` rows of the step's train split, or of all if there are fewer, drawn by the seed."""
    rows = list(tasks.get(context.task).evaluation_batches(context.inputs["calibration"]))
    return random.Random(context.seed).sample(rows, min(wanted, len(rows)))


def training_examples(context: Context) -> list[dict[str, Array]]:
    """Every example of the step's train split, without a batch axis: model inputs, and the ``labels`` to learn.

    Raises ConversionError where the step was given no training data.
    """
    if "calibration" not in context.inputs:
        raise ConversionError("this pass trains, but the step has no training data: name a dataset with a train split")
    return tasks.get(context.task).training_examples(context.inputs["calibration"])


def _own_file(folder: Path, split: str) -> Path:
    files = sorted(file for file in folder.iterdir() if file.suffix in _READERS)
    named = [file for file in files if file.stem == split]
    if len(named) == 1:
        return named[0]
    if split == "evaluate" and len(files) == 1 and files[0].stem != "train":
        return files[0]
    endings = ", ".join(f"{split}{suffix}" for suffix in _READERS)
    raise ConversionError(f"the data set needs exactly one of {endings}; it holds {[file.name for file in files]}")


def _text(file: Path) -> list[Row]:
    text = file.read_text("utf-8").strip()
    return [{"text": text}] if text else []


def _lines(file: Path) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        if line.strip():
            rows.append(_line(line, f"{file.name}, line {number}"))
    return rows


def _line(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as mistake:
        raise ConversionError(f"{where}: {mistake}") from None
    if not isinstance(row, dict) or not ("text" in row or {"tokens", "tags"} <= row.keys()):
        raise ConversionError(f'{where}: expected {{"text"}} or {{"tokens", "tags"}}')
    if "tokens" in row and len(row["tokens"]) != len(row["tags"]):
        raise ConversionError(f"{where}: {len(row['tokens'])} tokens but {len(row['tags'])} tags")
    return row


def _columns(file: Path) -> list[Row]:
    """Sentences of the CoNLL shared tasks (Tjong Kim Sang & De Meulder, 2003), their tags as IOB2.

    CoNLL-2003 itself is in IOB1, where an entity begins with ``I-`` unless it follows another of its type.
    """
    rows: list[Row] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*file.read_text("utf-8").splitlines(), ""], start=1):
        words = line.split()
        if words and words[0] != "-DOCSTART-":
            if len(words) < 2:
                raise ConversionError(f"{file.name}, line {number}: expected a word and its tag, found {line!r}")
            tokens.append(words[0])
            tags.append(words[-1])
        elif tokens:
            rows.append({"tokens": tokens, "tags": _iob2(tags)})
            tokens, tags = [], []
    return rows


def _iob2(tags: list[str]) -> list[str]:
    """Every entity begins with ``B-``; tags that are IOB2 already stay as they are."""
    pairs = zip(["O", *tags[:-1]], tags, strict=True)
    return [f"B-{tag[2:]}" if tag[:2] == "I-" and before[2:] != tag[2:] else tag for before, tag in pairs]


def _images(file: Path) -> list[Row]:
    with np.load(file, allow_pickle=False) as arrays:
        if not {"images", "labels"} <= set(arrays):
            raise ConversionError(f"{file.name}: expected the arrays images and labels, found {sorted(arrays)}")
        images, labels = arrays["images"], arrays["labels"]
    if len(images) != len(labels):
        raise ConversionError(f"{file.name}: {len(images)} images but {len(labels)} labels")
    return [{"image": image, "label": int(label)} for image, label in zip(images, labels, strict=True)]


_READERS: dict[str, Callable[[Path], list[Row]]] = {
    ".txt": _text,
    ".jsonl": _lines,
    ".conll": _columns,
    ".npz": _images,
}
