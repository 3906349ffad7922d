"""The contract of a task: its card, and what its modules hold. Standard library only.

A task is a folder ``harness/tasks/<name>/`` (``-`` in a name is ``_`` in the folder), or one that a plug-in adds, with:

``__init__.py``  a docstring
``task.py``      ``CARD`` of type :class:`TaskCard`; imports nothing but this module and its neighbours in contracts
``prepare.py``   keeps :class:`Preparation`; runs in a toolchain image: rows of a data set become the model's inputs
``score.py``     keeps :class:`Scoring`; runs wherever predictions are, on numpy alone

All that others know of a task stands in its card: passes, exporters and runtimes go by ``use``, the planner by ``fields``, the
report by the words. Nothing outside the folder names the task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict

from harness.contracts.artifact import Recipe
from harness.contracts.cards import Use

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from harness.contracts.adapter import Array, Arrays

    Floats: TypeAlias = npt.NDArray[np.float64]

#: What something is called, by language: ``{"en": "sequence length", "ru": "длина последовательности"}``.
Words: TypeAlias = Mapping[str, str]

#: One row of a data set: the columns that a task's card names, under their names.
Row: TypeAlias = Mapping[str, Any]

#: A metric as a function: how often each resample takes each example, [resamples, examples], and the tallies of the examples,
#: [examples, k], become the metric of each resample, [resamples].
MetricFunction: TypeAlias = "Callable[[Floats, Floats], Floats]"


class ModelFacts(TypedDict):
    """The fields of a manifest that say how a model is used."""

    task: str
    call: str
    modality: str
    auto_class: str


class Misfit(ValueError):
    """Rows, a model and a workload that do not fit each other; the message is one line for the reader of the report."""


@dataclass(frozen=True)
class Field:
    """One field of a task's workload: its default, the letter that stands for it in a cell's name, and its words.

    ``{value}`` in the words is where the value stands: ``{"en": "{value} tokens"}``. A field that another task has too has the
    same letter there.
    """

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
    """One number that tells quality; ``score.METRICS`` holds its function under its name."""

    name: str
    higher_is_better: bool
    words: Words
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
    fields: Mapping[str, Field]  # of a workload, in the order in which a cell's name has them
    columns: tuple[Column, ...]
    metrics: tuple[Metric, ...]
    recipe: Recipe
    source: str  # where the main metric is defined
    heads: tuple[str, ...] = ()  # how transformers' classes for it end, such as ForTokenClassification; empty: any name

    @property
    def facts(self) -> ModelFacts:
        """What the manifest of every artifact says of the use of its model; every pass and exporter carries it over."""
        return {
            "task": self.name,
            "call": self.use.call,
            "modality": self.use.modality,
            "auto_class": self.auto_class,
        }

    def metric(self, name: str) -> Metric:
        """The metric of that name. Raises KeyError."""
        return {metric.name: metric for metric in self.metrics}[name]


@dataclass(frozen=True)
class Measured:
    """A metric's value over all examples, and its 95 % bootstrap interval (None with fewer than 2 examples)."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Score:
    """Quality on the held-out examples: every metric of the task, and what it was computed from."""

    metrics: Mapping[str, Measured]
    tallies: list[list[float]]  # what is known of each example, [examples][k]: any resample of them can be scored anew

    @property
    def examples(self) -> int:
        """How many were scored."""
        return len(self.tallies)


class Preparation(Protocol):
    """What ``prepare.py`` holds. Heavy libraries are imported inside its functions.

    A folder ``out`` is written by one of the two, with :mod:`harness.contracts.prepared`. ``model`` is the folder of an hf
    artifact: configuration and tokenizer. Both raise :class:`Misfit`.
    """

    def prepare_evaluation(self, rows: Sequence[Row], model: Path, out: Path) -> None:
        """Write the rows as model inputs with the wanted answers; ``score.py`` reads them."""

    def prepare_workload(self, rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
        """Write inputs made of real rows in exactly the workload's shape, each array [batches, *shape]."""


class Scoring(Protocol):
    """What ``score.py`` holds. ``data`` is what ``prepare_evaluation`` wrote.

    It may also hold ``OUTPUTS``, the names of the outputs that it reads, ``("logits",)`` where it does not. The first is what
    cells are compared by: its last axis holds the classes, and the largest value is the answer.
    """

    METRICS: Mapping[str, MetricFunction]  # by the names of the card's metrics

    def evaluation_batches(self, data: Path) -> Iterator[dict[str, Array]]:
        """Model inputs of one example each: batch 1, nothing padded."""

    def training_examples(self, data: Path) -> list[dict[str, Array]]:
        """Examples without a batch axis: model inputs, and the ``labels`` to learn as transformers' models take them."""

    def reduce(self, outputs: Arrays, inputs: Arrays) -> Array:
        """What ``score`` needs of one example's outputs, small enough to be kept."""

    def score(self, predictions: Sequence[Array], data: Path) -> Score:
        """Score the reduced predictions, one per evaluation batch and in that order."""
