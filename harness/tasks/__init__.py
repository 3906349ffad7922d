"""Tasks: what a model is for, how its data is prepared, and how its quality is scored.

One folder per task, with the modules that :mod:`harness.contracts.task` describes; what tasks share has a leading underscore.
Folders are found over ``__path__``, to which a plug-in appends its own. Importing this package imports no task: a step loads
the one module of the one task that it needs.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import cast

import numpy as np

from harness.contracts.loading import load
from harness.contracts.task import Preparation, Scoring, TaskCard
from harness.tasks import _bootstrap


def names() -> list[str]:
    """Every task, by the names that ``matrix.yaml`` uses."""
    return sorted(_found())


def card(name: str) -> TaskCard:
    """What a task says of itself. Raises KeyError where there is no such task, with the names that are near."""
    return cast(TaskCard, load(module_of(name, "task")).CARD)


def prepare(name: str) -> Preparation:
    """How a task's data is prepared, for toolchain images. Raises KeyError as ``card`` does."""
    return cast(Preparation, load(module_of(name, "prepare")))


def score(name: str) -> Scoring:
    """How a task is scored; needs numpy alone. Raises KeyError as ``card`` does."""
    return cast(Scoring, load(module_of(name, "score")))


def module_of(name: str, part: str) -> str:
    """The dotted name of ``task``, ``prepare`` or ``score`` of a task: what a step that loads it depends on."""
    if name not in _found():
        near = get_close_matches(name, names(), n=3)
        cure = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(names())}"
        raise KeyError(f"no task is named {name!r}; {cure}")
    return f"{__name__}.{name.replace('-', '_')}.{part}"


def letters() -> Mapping[str, str]:
    """The letter of every workload field of every task; where two differ, that of the task that was found first."""
    return _letters(_found())


def change_interval(
    task: str, metric: str, ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]
) -> tuple[float, float] | None:
    """The 95 % interval of a metric of ours minus that of theirs, from the tallies of both on the same examples."""
    return _bootstrap.paired(np.asarray(ours, float), np.asarray(theirs, float), score(task).METRICS[metric])


def _found() -> tuple[str, ...]:
    """Every task, the package's own before those of plug-ins."""
    return _found_below(tuple(__path__))


@cache  # asked for once for every cell
def _found_below(folders: tuple[str, ...]) -> tuple[str, ...]:
    packages = (module.name for module in pkgutil.iter_modules(folders) if module.ispkg)
    return tuple(dict.fromkeys(name.replace("_", "-") for name in packages if not name.startswith("_")))


@cache
def _letters(names: tuple[str, ...]) -> Mapping[str, str]:
    fields = [(field, described.letter) for name in names for field, described in card(name).fields.items()]
    return dict(reversed(fields))
