"""What stays of an earlier report: rows that this run did not measure are kept, and what would be lost is named before.

Pure functions over two results. A row belongs to a matrix as long as its id is there and its model and method are written as
they were: the same name for other passes is another row.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import yaml

from harness.results import Cell, Results, Status

MARK = "kept from the results of"


def lost(before: Results, matrix: str, ids: Collection[str], picked: Collection[str]) -> list[str]:
    """The ids of measured rows of ``before`` that a run would drop.

    ``matrix`` is the text of the matrix file, ``ids`` are all its cells and ``picked`` those that will be measured and replace
    what was there.
    """
    then, now = _matrix(before.matrix), _matrix(matrix)
    measured = [cell for cell in before.cells if cell.latency_ms is not None]
    gone = [cell for cell in measured if cell.id not in ids or not _same(cell, then, now)]
    return [cell.id for cell in gone if cell.id not in picked]


def keep(made: Results, before: Results) -> Results:
    """``made``, with the rows of ``before`` where this run knows less of them: not picked, or no such device here.

    A kept row says so among its caveats, with when and where it was measured. The harness's own cost is kept on one machine.
    """
    then, now = _matrix(before.matrix), _matrix(made.matrix)
    old = {cell.id: cell for cell in before.cells if _same(cell, then, now)}
    cells = [
        _marked(old[cell.id], before) if cell.id in old and _worth(old[cell.id]) > _worth(cell) else cell
        for cell in made.cells
    ]
    used = {cell.machine for cell in cells}
    machines = {**{id: found for id, found in before.machines.items() if id in used}, **made.machines}
    words = {name: {**getattr(before, name), **getattr(made, name)} for name in ("tasks", "metrics", "workload_fields")}
    overhead = made.overhead or (before.overhead if before.machines.keys() & made.machines.keys() else None)
    return made.model_copy(update={"cells": cells, "machines": machines, "overhead": overhead, **words})


def kept(results: Results) -> list[str]:
    """The ids of the rows that were kept from earlier results."""
    return [cell.id for cell in results.cells if any(text.startswith(MARK) for text in cell.caveats)]


def _worth(cell: Cell) -> int:
    """How much is known of a row: it has come to an end, it was measured in part, nothing."""
    if cell.status is not Status.SKIPPED:
        return 2
    return 1 if cell.latency_ms is not None else 0


def _marked(cell: Cell, before: Results) -> Cell:
    if any(text.startswith(MARK) for text in cell.caveats):
        return cell  # from a run before that one
    when, machine = cell.measured_at or before.created_at, before.machines.get(cell.machine or "")
    place = f" on {machine.name} ({machine.cpu})" if machine else ""
    text = f"{MARK} {before.created_at}: measured {when}{place}, not in this run"
    return cell.model_copy(update={"caveats": [*cell.caveats, text]})


def _same(cell: Cell, then: _Matrix, now: _Matrix) -> bool:
    pairs = (then.model(cell.model), then.method(cell.method)), (now.model(cell.model), now.method(cell.method))
    return pairs[0] == pairs[1]


@lru_cache(maxsize=2)  # asked for before a run and after it, and the text is mostly the same
def _matrix(text: str) -> _Matrix:
    return _Matrix(text)


class _Matrix:
    """The entries of a matrix file by name, as they are written. A text that is none has no entries."""

    def __init__(self, text: str) -> None:
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError:
            data = None
        self._entries = {axis: _by_name(data, axis) for axis in ("models", "methods")}

    def model(self, name: str) -> Any:
        """A model, without the workloads: they are in a row's id."""
        entry = self._entries["models"].get(name)
        return {key: value for key, value in entry.items() if key != "workloads"} if isinstance(entry, dict) else entry

    def method(self, name: str) -> Any:
        """A method."""
        return self._entries["methods"].get(name)


def _by_name(data: Any, axis: str) -> dict[str, Any]:
    """The entries of an axis by name; where two have the same, the first."""
    entries = data.get(axis) if isinstance(data, dict) else None
    found: dict[str, Any] = {}
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("name") if isinstance(entry, dict) else entry
        if isinstance(name, str):
            found.setdefault(name, entry)
    return found
