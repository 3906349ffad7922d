"""What was measured and what was not: for each model its methods on its runtimes, as statuses."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.table.model import Row, Table
from harness.results import Status

#: Of several workloads of a place in the map the worst ending is shown.
_WORST_LAST = list(Status)


@dataclass(frozen=True)
class Coverage:
    """A model's map: a line a method, a column a runtime and device; None where the matrix has no such cell."""

    model: str
    columns: tuple[tuple[str, str], ...]  # runtime, device
    lines: tuple[tuple[str, tuple[Row | None, ...]], ...]


def coverage(table: Table) -> list[Coverage]:
    """One map a model, methods and runtimes in the order of the matrix."""
    return [_coverage(model, [row for row in table.rows if row.cell.model == model]) for model in table.names("model")]


def _coverage(model: str, rows: list[Row]) -> Coverage:
    columns = tuple(dict.fromkeys((row.cell.runtime, row.cell.device) for row in rows))
    places: dict[tuple[str, str, str], Row] = {}
    for row in sorted(rows, key=lambda row: _WORST_LAST.index(row.cell.status)):
        places[row.cell.method, row.cell.runtime, row.cell.device] = row
    methods = dict.fromkeys(row.cell.method for row in rows)
    return Coverage(
        model, columns, tuple((method, tuple(places.get((method, *at)) for at in columns)) for method in methods)
    )
