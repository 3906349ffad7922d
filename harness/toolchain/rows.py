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
    """The rows of ``train`` or ``evaluate``, each with its place. The inputs named ``data-NAME`` are the fetched folders.

    A data set written ``path:...`` is a folder with ``train`` and ``evaluate`` files, or one file to evaluate on.
    ``harness/datasets`` has the readers. Raises ConversionError where the files or the rows are missing, or a row lacks one of
    the ``columns``.
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
