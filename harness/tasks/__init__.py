"""Tasks: what a model is for, how its data is prepared, and how its quality is scored.

One module per task, found by looking at this folder; a leading underscore marks what tasks share. ``prepare_*`` runs in
a toolchain image and may import heavy libraries inside; all else runs wherever predictions are, on numpy alone. Nothing
here imports the rest of the package.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Row: TypeAlias = Mapping[str, Any]

#: The label of a position that no loss counts: what torch's cross-entropy skips.
IGNORED = -100


class Misfit(ValueError):
    """Rows, a model and a workload that do not fit each other; the message is one line for the reader of the report."""


@dataclass(frozen=True)
class Score:
    """Quality on the held-out examples, with its 95 % bootstrap interval (None with fewer than 2 examples)."""

    metric: str
    value: float
    interval: tuple[float, float] | None
    tallies: list[list[float]]  # what each example adds to the sums that the metric is a function of, [examples][k]
    higher_is_better: bool

    @property
    def examples(self) -> int:
        """How many were scored."""
        return len(self.tallies)


class Task(Protocol):
    """What a module of this package holds.

    Data travels in a folder that ``prepare_evaluation`` or ``prepare_workload`` wrote; a folder holds one of the two.
    """

    NAME: str
    METRIC: str
    HIGHER_IS_BETTER: bool
    WORKLOAD: Mapping[str, int]  # every field of a workload and its default

    def prepare_evaluation(self, rows: Sequence[Row], model: Path, out: Path) -> None:
        """Write held-out rows, ready for ``model`` (an hf artifact). Raises Misfit where they do not fit it."""

    def prepare_workload(self, rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
        """Write inputs made of real rows in exactly the workload's shape. Raises Misfit where rows are too few."""

    def evaluation_batches(self, data: Path) -> Iterator[dict[str, Array]]:
        """Model inputs of one example each: batch 1, nothing padded."""

    def training_examples(self, data: Path) -> list[dict[str, Array]]:
        """Examples of a prepared train split, each without a batch axis: model inputs and the ``labels`` to learn.

        ``labels`` are what transformers' models take; IGNORED marks a position that has no label.
        """

    def workload_batches(self, data: Path) -> list[dict[str, Array]]:
        """At least 8 different inputs, to be rotated while measuring."""

    def reduce(self, logits: Array, inputs: Mapping[str, Array]) -> Array:
        """What ``score`` needs of one example's logits, small enough to be kept."""

    def score(self, predictions: Sequence[Array], data: Path) -> Score:
        """Score the reduced predictions, one per evaluation batch and in that order."""

    def metric(self, sums: Array) -> Array:
        """The metric of sums of tallies, [n, k] -> [n]."""


def save_workload(out: Path, name: str, workload: Mapping[str, int], arrays: Mapping[str, Array]) -> None:
    """Write inputs that are at hand, each array [batches, *shape], as ``prepare_workload`` writes those of a data set."""
    from harness.tasks import _storage  # which imports this module

    _storage.save(out, {"task": name, "workload": dict(workload)}, arrays)


def change_interval(
    name: str, ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]
) -> tuple[float, float] | None:
    """The 95 % interval of the metric of ours minus that of theirs, from the tallies of both on the same examples."""
    from harness.tasks import _bootstrap

    return _bootstrap.paired(np.asarray(ours, float), np.asarray(theirs, float), get(name).metric)


def names() -> list[str]:
    """Every task, by the names that ``matrix.yaml`` uses."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def get(name: str) -> Task:
    """The task of that name. Raises KeyError where there is none."""
    if name not in names():
        raise KeyError(f"no task is named {name!r}; there are {', '.join(names())}")
    return cast(Task, importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))
