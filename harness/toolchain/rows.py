"""The rows of a step's data set: one of the zoo, or the user's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import datasets, zoo
from harness.contracts.artifact import ConversionError
from harness.contracts.task import Column
from harness.datasets import Placed

_OWN = "path:"


def placed_rows(dataset: str, split: str, inputs: Mapping[str, Path], columns: Sequence[Column] = ()) -> list[Placed]:
    """The rows of ``train`` or ``evaluate``, each with its place; of the step's ``inputs`` the fetched ones are ``data-NAME``.

    A data set written ``path:...`` is one folder with ``train`` and ``evaluate`` files, or one file, to evaluate on, each in a
    format that ``harness/datasets`` has a reader for. Raises ConversionError where there are no such files, or no rows, or one
    lacks one of the ``columns``.
    """
    folders = named(inputs, "data-")
    if dataset.startswith(_OWN):
        rows = datasets.read(datasets.own_file(next(iter(folders.values())), split))
    else:
        found = zoo.dataset(dataset).rows(split, folders)
        rows = ((f"row {number}", row) for number, row in enumerate(found, start=1))
    complete = list(datasets.with_columns(rows, columns))
    if not complete:
        raise ConversionError(f"the data set {dataset} has no rows to {split}")
    return complete


def named(inputs: Mapping[str, Path], prefix: str) -> dict[str, Path]:
    """The inputs whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): path for name, path in inputs.items() if name.startswith(prefix)}
