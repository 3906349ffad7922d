"""The card of a task: what a model is for, stated once. Standard library only.

A task is a folder ``harness/tasks/<name>/`` (``-`` in a name is ``_`` in the folder) or one that a plug-in adds:

``task.py``     holds ``CARD`` of type :class:`TaskCard`; imports nothing but this module and its neighbours in contracts
``prepare.py``  runs in a toolchain image: rows of a data set become the model's inputs
``score.py``    runs wherever predictions are, on numpy alone: reads what was prepared, keeps what it needs, scores it

All that others know of a task stands in its card: passes, exporters and runtimes go by ``use``, the planner by ``fields``, the
report by the words. Nothing outside the folder names the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.contracts.artifact import Recipe
from harness.contracts.cards import Use

#: What something is called, by language: ``{"en": "sequence length", "ru": "длина последовательности"}``.
Words = Mapping[str, str]


@dataclass(frozen=True)
class Field:
    """One field of a task's workload: its default, the letter that stands for it in a cell's name, and its words."""

    default: int
    letter: str
    words: Words


@dataclass(frozen=True)
class Column:
    """One column of a task's data: its name in a row, what it holds, and whether rows may lack it."""

    name: str
    holds: str  # one phrase for the user: "text", "label, a name or a number"
    optional: bool = False


@dataclass(frozen=True)
class Metric:
    """One number that tells quality.

    ``sums`` names what each example adds up to (its tallies); ``score.METRICS[name]`` maps sums of tallies, [n, k], to values
    [n], so that any resample of examples can be scored anew.
    """

    name: str
    higher_is_better: bool
    words: Words
    sums: tuple[str, ...]
    unit: str = ""
    worst: float | None = None  # the value of a model that knows nothing, where there is one
    ratio: bool = False  # told as a ratio to the original (perplexity), not as a loss


@dataclass(frozen=True)
class TaskCard:
    """What a task is. ``metrics`` are several; the first is the main one."""

    name: str
    summary: str
    words: Words
    use: Use
    auto_class: str  # of transformers, such as AutoModelForTokenClassification
    fields: Mapping[str, Field]
    columns: tuple[Column, ...]
    metrics: tuple[Metric, ...]
    recipe: Recipe
    source: str  # where the main metric is defined
