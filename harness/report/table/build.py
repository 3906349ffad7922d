"""Build the table of a run: group its cells and hold each against its group's baseline.

A group is one model, task, device, workload and machine; only within it are ratios taken, and Holm's correction made.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness import stats
from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.table import columns
from harness.report.table.column import TableColumn
from harness.report.table.model import Difference, Group, Row, Table
from harness.results import Cell, Results, Status
from harness.stats import Comparison
from harness.untrusted_text import slug

Key = tuple[object, ...]


def build(results: Results) -> Table:
    """The table of a run."""
    models = list(dict.fromkeys(cell.model for cell in results.cells))
    places = _places(results.cells)
    ids = Counter(cell.id for cell in results.cells)
    anchors = {id(cell): _anchor(cell, alone=ids[cell.id] == 1) for cell in results.cells}
    members: dict[Key, list[Cell]] = {}
    siblings: dict[Key, list[Cell]] = {}
    for cell in sorted(results.cells, key=lambda cell: models.index(cell.model)):
        members.setdefault((*_kind(cell), places[id(cell)]), []).append(cell)
        siblings.setdefault(_apart_from_device(cell), []).append(cell)
    kinds = Counter(key[:-1] for key in members)
    return Table(
        tuple(
            _group(cells, places[id(cells[0])], results.baseline, siblings, anchors, apart=kinds[key[:-1]] > 1)
            for key, cells in members.items()
        )
    )


def _anchor(cell: Cell, *, alone: bool) -> str:
    """The id of a cell's row in the page; where several machines measured the cell, each has its own."""
    key = cell.id if alone else f"{cell.id} {cell.machine}"
    return f"c-{slug(cell.id)[:60]}-{hashlib.sha256(key.encode()).hexdigest()[:6]}"


def _places(cells: Iterable[Cell]) -> dict[int, str | None]:
    """The machine in whose group each cell stands, by ``id(cell)``: its own, or for one without the only machine there."""
    kinds: dict[Key, list[Cell]] = {}
    for cell in cells:
        kinds.setdefault(_kind(cell), []).append(cell)
    places: dict[int, str | None] = {}
    for members in kinds.values():
        machines = {cell.machine for cell in members} - {None}
        only = next(iter(machines)) if len(machines) == 1 else None
        places |= {id(cell): cell.machine or only for cell in members}
    return places


def _kind(cell: Cell) -> Key:
    """What cells that may be compared have in common besides their machine."""
    return cell.model, cell.task, cell.device, _workload(cell)


def _workload(cell: Cell) -> Key:
    return tuple(sorted(cell.workload.items()))


def _apart_from_device(cell: Cell) -> Key:
    return cell.model, cell.method, cell.runtime, _workload(cell)


def _group(
    cells: list[Cell],
    machine: str | None,
    wanted: Mapping[str, str],
    siblings: Mapping[Key, list[Cell]],
    anchors: Mapping[int, str],
    *,
    apart: bool,
) -> Group:
    baseline = next((cell for cell in cells if _is_baseline(cell, wanted)), None)
    speeds = {id(cell): compare_speed(cell, baseline) for cell in cells if baseline and cell is not baseline}
    compared = {key: speed for key, speed in speeds.items() if speed and speed.p is not None}
    adjusted = dict(zip(compared, stats.holm([speed.p or 0.0 for speed in compared.values()]), strict=True))
    rows = []
    for cell in cells:
        row = Row(cell, anchors[id(cell)], is_baseline=cell is baseline, missing=_missing(cell, siblings))
        rows.append(_compared(row, baseline, speeds.get(id(cell)), adjusted.get(id(cell))))
    first = cells[0]
    return Group(first.model, first.task, first.device, first.workload, machine, tuple(rows), apart)


def _is_baseline(cell: Cell, baseline: Mapping[str, str]) -> bool:
    wanted = all(getattr(cell, name) == value for name, value in baseline.items())
    return wanted and cell.status is Status.OK


def _compared(row: Row, baseline: Cell | None, speed: Comparison | None, p: float | None) -> Row:
    if baseline is None or row.is_baseline:
        return row
    verdict = stats.verdict(speed, p) if speed else None
    return replace(row, against=baseline, speed=speed, p=p, verdict=verdict, quality=difference(row.cell, baseline))


def compare_speed(cell: Cell, baseline: Cell) -> Comparison | None:
    """Speed of a cell against another's; nothing is said of a cell that computes something else, or has no latency."""
    if cell.status is not Status.OK or not cell.latency_ms or not baseline.latency_ms or _elsewhere(cell, baseline):
        return None
    ours, theirs = (c.latency_ms.medians_ms for c in (cell, baseline) if c.latency_ms)
    if not ours or not theirs or not all(0 < median < math.inf for median in (*ours, *theirs)):
        return None
    return stats.compare(ours, theirs)


def _elsewhere(cell: Cell, other: Cell) -> bool:
    """Whether two measured cells come from different machines."""
    return cell.machine != other.machine


def difference(cell: Cell, baseline: Cell) -> Difference | None:
    """Quality of a cell minus that of another, where both have the same metric."""
    ours, theirs = cell.quality, baseline.quality
    if not ours or not theirs or ours.metric != theirs.metric:
        return None
    change = ours.value - theirs.value
    if not numbers.finite(change):
        return None
    paired = numbers.finite_interval(ours.change_interval) if ours.change is not None else None
    if paired and is_reference(baseline):
        return _judged(change, paired, higher_is_better=ours.higher_is_better)
    own, other = numbers.finite_interval(ours.interval), numbers.finite_interval(theirs.interval)
    if not own or not other:
        return Difference(change, None, None)
    interval = stats.difference_interval(ours.value, own, theirs.value, other)
    return _judged(change, interval, higher_is_better=ours.higher_is_better)


def _judged(change: float, interval: tuple[float, float], *, higher_is_better: bool) -> Difference:
    shown = interval[0] > 0 or interval[1] < 0
    return Difference(change, interval, (change > 0) is higher_is_better if shown else None)


def is_reference(cell: Cell) -> bool:
    """Whether a cell is the one that every change of quality is against."""
    return (cell.method, cell.runtime, cell.device) == ("original", "pytorch", "cpu")


def _missing(cell: Cell, siblings: Mapping[Key, list[Cell]]) -> dict[str, Message]:
    """Why a column of the page has no value, for each that has none."""
    kind = "cpu" if cell.device == "cpu" else "gpu"
    others = [other for other in siblings[_apart_from_device(cell)] if (other.device == "cpu") != (kind == "cpu")]
    return {
        column.key: _other_device(others) if column.device and column.device != kind else _why(column, cell)
        for column in columns.page_columns()
        if column.value(cell) is None
    }


def _why(column: TableColumn, cell: Cell) -> Message:
    own = column.reason(cell) or cell.reason or Message.of("missing.not-recorded")
    return Message.verbatim(own) if isinstance(own, str) else own


def _other_device(others: Iterable[Cell]) -> Message:
    other = next(iter(others), None)
    if other is None:
        return Message.of("missing.not-in-matrix")
    return Message.verbatim(other.reason) if other.reason else Message.of("missing.own-row", device=other.device)
