"""The table as values: every cell a row, grouped with the rows it may be compared with, each against its baseline.

Numbers stay numbers here; ``numbers.py`` writes them. What is missing is None, with the reason in ``Row.missing``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.results import Cell, Status
from harness.stats import Comparison, Interval, Verdict


@dataclass(frozen=True)
class Difference:
    """Quality against the baseline's: cell minus baseline, in the metric's own unit."""

    value: float
    interval: Interval | None
    better: bool | None  # None: no difference shown


@dataclass(frozen=True)
class Row:
    """One cell and what it is relative to its group's baseline. Size ratios are baseline / cell: above 1 is smaller."""

    cell: Cell
    anchor: str  # its id in the page
    is_baseline: bool = False
    against: Cell | None = None  # the baseline, where that is another cell
    speed: Comparison | None = None
    p: float | None = None  # of "no difference in speed", after Holm's correction within the group
    verdict: Verdict | None = None
    quality: Difference | None = None
    missing: Mapping[str, Message] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether the row has numbers: it ran, even if its outputs diverged."""
        return self.cell.status in (Status.OK, Status.DIVERGED)

    @property
    def weights_ratio(self) -> float | None:
        """Size of the baseline's weights over that of its own."""
        return size_ratio(self.against.weights_bytes, self.cell.weights_bytes) if self.against else None

    @property
    def timed(self) -> bool:
        """Whether it ran and has a latency that can be drawn and ranked."""
        return self.measured and self.cell.latency_ms is not None and 0 < self.cell.latency_ms.p50 < math.inf

    @property
    def scored(self) -> bool:
        """Whether it has a quality that can be drawn and ranked."""
        return self.cell.quality is not None and math.isfinite(self.cell.quality.value)


@dataclass(frozen=True)
class Group:
    """Rows that may be compared: one model, task, device, workload and machine (None where nothing was measured)."""

    model: str
    task: str
    device: str
    workload: Mapping[str, int]
    machine: str | None
    rows: tuple[Row, ...]
    apart: bool = False  # whether there are more such groups, on other machines

    @property
    def baseline(self) -> Row | None:
        """The row that the others are relative to, if it was measured."""
        return next((row for row in self.rows if row.is_baseline), None)

    @property
    def measured(self) -> tuple[Row, ...]:
        """The rows with a latency."""
        return tuple(row for row in self.rows if row.timed)

    @property
    def name(self) -> str:
        """Model, device and workload in one identifier; the machine besides where there are several."""
        machine = [self.machine or "unmeasured"] if self.apart else []
        return "-".join([self.model, self.device, *(f"{key}{value}" for key, value in self.workload.items()), *machine])


@dataclass(frozen=True)
class Table:
    """All groups, in the order in which the matrix names them."""

    groups: tuple[Group, ...]

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Every row of every group."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def statuses(self) -> dict[Status, int]:
        """How many cells came to what, most wanted first; statuses that did not occur are left out."""
        return statuses(row.cell for row in self.rows)

    def names(self, what: str) -> tuple[str, ...]:
        """The values of ``model``, ``method``, ``runtime`` or ``device``, in order of first appearance."""
        return tuple(dict.fromkeys(getattr(row.cell, what) for row in self.rows))

    @cached_property
    def machines(self) -> tuple[str, ...]:
        """The ids of the machines that rows were measured on, in order of first appearance."""
        return tuple(dict.fromkeys(row.cell.machine for row in self.rows if row.cell.machine is not None))

    def workloads_of(self, model: str) -> int:
        """How many workloads a model was measured with."""
        return len({tuple(group.workload.items()) for group in self.groups if group.model == model})


def statuses(cells: Iterable[Cell]) -> dict[Status, int]:
    """How many cells came to what, most wanted first; statuses that did not occur are left out."""
    counts = Counter(cell.status for cell in cells)
    return {status: counts[status] for status in Status if counts[status]}


def size_ratio(baseline: float | None, value: float | None) -> float | None:
    """Baseline over value, where both are known: above 1 is smaller."""
    return baseline / value if baseline and value and numbers.finite(baseline / value) else None
