"""The table as values: every cell a row, grouped with the rows it may be compared with, each against its baseline.

A group is one model, device and workload; only within it are ratios taken, and Holm's correction made. Numbers stay
numbers here; ``numbers.py`` writes them. What is missing is None, with the reason in ``Row.missing``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from harness import stats
from harness.report.language.catalogue import Message
from harness.report.language.untrusted_text import slug
from harness.results import Cell, Results, Status
from harness.stats import Comparison, Interval, Verdict

#: The columns that a row may miss a value in.
COLUMNS = ("weights", "zstd", "cpu_ms", "gpu_ms", "ram", "vram", "energy", "quality")

Key = tuple[object, ...]


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
    is_baseline: bool = False
    speed: Comparison | None = None
    p: float | None = None  # of "no difference in speed", after Holm's correction within the group
    verdict: Verdict | None = None
    weights_ratio: float | None = None
    ram_ratio: float | None = None
    vram_ratio: float | None = None
    quality: Difference | None = None
    missing: Mapping[str, Message] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether the row has numbers: it ran, even if its outputs diverged."""
        return self.cell.status in (Status.OK, Status.DIVERGED)

    @property
    def anchor(self) -> str:
        """The row's id in the page."""
        return f"c-{slug(self.cell.id)[:60]}-{hashlib.sha256(self.cell.id.encode()).hexdigest()[:6]}"

    def latency_on(self, device: str) -> float | None:
        """Median latency in ms if the cell ran on that device."""
        return self.cell.latency_ms.p50 if self.cell.latency_ms and self.cell.device == device else None


@dataclass(frozen=True)
class Group:
    """Rows that may be compared: one model, device and workload."""

    model: str
    task: str
    device: str
    workload: Mapping[str, int]
    rows: tuple[Row, ...]

    @property
    def baseline(self) -> Row | None:
        """The row that the others are relative to, if it was measured."""
        return next((row for row in self.rows if row.is_baseline), None)

    @property
    def measured(self) -> tuple[Row, ...]:
        """The rows with a latency."""
        return tuple(row for row in self.rows if row.measured and row.cell.latency_ms)

    @property
    def name(self) -> str:
        """Model, device and workload in one identifier."""
        return "-".join([self.model, self.device, *(f"{key}{value}" for key, value in self.workload.items())])


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

    def workloads_of(self, model: str) -> int:
        """How many workloads a model was measured with."""
        return len({tuple(group.workload.items()) for group in self.groups if group.model == model})


def statuses(cells: Iterable[Cell]) -> dict[Status, int]:
    """How many cells came to what, most wanted first; statuses that did not occur are left out."""
    counts = Counter(cell.status for cell in cells)
    return {status: counts[status] for status in Status if counts[status]}


def build(results: Results) -> Table:
    """The table of a run."""
    models = list(dict.fromkeys(cell.model for cell in results.cells))
    members: dict[Key, list[Cell]] = {}
    siblings: dict[Key, list[Cell]] = {}
    for cell in sorted(results.cells, key=lambda cell: models.index(cell.model)):
        members.setdefault((cell.model, cell.device, _workload(cell)), []).append(cell)
        siblings.setdefault(_apart_from_device(cell), []).append(cell)
    return Table(tuple(_group(cells, results.baseline, siblings) for cells in members.values()))


def _workload(cell: Cell) -> Key:
    return tuple(sorted(cell.workload.items()))


def _apart_from_device(cell: Cell) -> Key:
    return cell.model, cell.method, cell.runtime, _workload(cell)


def _group(cells: list[Cell], wanted: Mapping[str, str], siblings: Mapping[Key, list[Cell]]) -> Group:
    baseline = next((cell for cell in cells if _is_baseline(cell, wanted)), None)
    speeds = {cell.id: compare_speed(cell, baseline) for cell in cells if baseline and cell is not baseline}
    compared = {key: speed for key, speed in speeds.items() if speed and speed.p is not None}
    adjusted = dict(zip(compared, stats.holm([speed.p or 0.0 for speed in compared.values()]), strict=True))
    rows = tuple(
        _row(cell, baseline, speeds.get(cell.id), adjusted.get(cell.id), _missing(cell, siblings)) for cell in cells
    )
    first = cells[0]
    return Group(first.model, first.task, first.device, first.workload, rows)


def _is_baseline(cell: Cell, baseline: Mapping[str, str]) -> bool:
    wanted = all(getattr(cell, name) == value for name, value in baseline.items())
    return wanted and cell.status is Status.OK


def _row(
    cell: Cell, baseline: Cell | None, speed: Comparison | None, p: float | None, missing: dict[str, Message]
) -> Row:
    if baseline is None or cell is baseline:
        return Row(cell, is_baseline=cell is baseline, missing=missing)
    return Row(
        cell,
        speed=speed,
        p=p,
        verdict=stats.verdict(speed, p) if speed else None,
        weights_ratio=size_ratio(baseline.weights_bytes, cell.weights_bytes),
        ram_ratio=size_ratio(baseline.ram_bytes, cell.ram_bytes),
        vram_ratio=size_ratio(baseline.vram_bytes, cell.vram_bytes),
        quality=difference(cell, baseline),
        missing=missing,
    )


def compare_speed(cell: Cell, baseline: Cell) -> Comparison | None:
    """Speed of a cell against another's; nothing is said of a cell that computes something else, or has no latency."""
    if cell.status is not Status.OK or not cell.latency_ms or not baseline.latency_ms:
        return None
    ours, theirs = (c.latency_ms.medians_ms for c in (cell, baseline) if c.latency_ms)
    if not ours or not theirs or min(*ours, *theirs) <= 0:
        return None
    return stats.compare(ours, theirs)


def size_ratio(baseline: int | None, value: int | None) -> float | None:
    """Baseline over value, where both are known: above 1 is smaller."""
    return baseline / value if baseline and value else None


def difference(cell: Cell, baseline: Cell) -> Difference | None:
    """Quality of a cell minus that of another, where both have the same metric."""
    ours, theirs = cell.quality, baseline.quality
    if not ours or not theirs or ours.metric != theirs.metric:
        return None
    change = ours.value - theirs.value
    if ours.change is not None and ours.change_interval and is_reference(baseline):
        return _judged(change, ours.change_interval, higher_is_better=ours.higher_is_better)
    if not ours.interval or not theirs.interval:
        return Difference(change, None, None)
    interval = stats.difference_interval(ours.value, ours.interval, theirs.value, theirs.interval)
    return _judged(change, interval, higher_is_better=ours.higher_is_better)


def _judged(change: float, interval: tuple[float, float], *, higher_is_better: bool) -> Difference:
    shown = interval[0] > 0 or interval[1] < 0
    return Difference(change, interval, (change > 0) is higher_is_better if shown else None)


def is_reference(cell: Cell) -> bool:
    """Whether a cell is the one that every change of quality is against."""
    return (cell.method, cell.runtime, cell.device) == ("original", "pytorch", "cpu")


def _missing(cell: Cell, siblings: Mapping[Key, list[Cell]]) -> dict[str, Message]:
    """Why a column has no value, for each that has none."""
    present = {
        "weights": cell.weights_bytes,
        "zstd": zstd_bytes(cell),
        "cpu_ms": cell.latency_ms if cell.device == "cpu" else None,
        "gpu_ms": cell.latency_ms if cell.device != "cpu" else None,
        "ram": cell.ram_bytes,
        "vram": cell.vram_bytes,
        "energy": cell.energy_j,
        "quality": cell.quality,
    }
    others = [
        other for other in siblings[_apart_from_device(cell)] if (other.device == "cpu") != (cell.device == "cpu")
    ]
    foreign = "gpu_ms" if cell.device == "cpu" else "cpu_ms"
    return {
        column: _other_device(others) if column == foreign else _why(column, cell)
        for column in COLUMNS
        if present[column] is None
    }


def _why(column: str, cell: Cell) -> Message:
    reasons = {"vram": cell.vram_reason, "energy": cell.energy_reason, "quality": cell.quality_reason}
    own = reasons.get(column) or cell.reason
    if own:
        return Message.verbatim(own)
    if column == "vram" and cell.device == "cpu":
        return Message.of("missing.cpu-has-no-vram")
    return Message.of("missing.not-recorded")


def zstd_bytes(cell: Cell) -> int | None:
    """Size of a cell's weights as a compressed download."""
    return cell.artifact.zstd_bytes if cell.artifact else None


def _other_device(others: Iterable[Cell]) -> Message:
    other = next(iter(others), None)
    if other is None:
        return Message.of("missing.not-in-matrix")
    return Message.verbatim(other.reason) if other.reason else Message.of("missing.own-row", device=other.device)
