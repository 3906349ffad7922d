"""A matrix becomes cells: the product of its axes, then ``exclude``, then ``include``, as GitHub Actions does.

``exclude`` drops the combinations that agree with every key of an entry. ``include`` comes after: an entry that contradicts no
axis of a combination adds its values to it; an entry that agrees with none makes a new one.
Source: GitHub Docs, "Running variations of jobs in a workflow", expanding or adding and excluding matrix configurations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

from harness import tasks
from harness.matrix.spec import AXES, Include, Matrix, Model, Pattern

Workload: TypeAlias = tuple[tuple[str, int], ...]  #: (field, value) pairs in the task's order; hashable
_Keys: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]  # axes, and fields of the workload
_Values: TypeAlias = tuple[str | int | None, ...]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One row of the table to be. The last four override the matrix's own values."""

    model: str
    method: str
    runtime: str
    device: str
    workload: Workload
    rounds: int | None = None
    max_seconds: float | None = None
    memory: int | None = None
    timeout: float | None = None

    @property
    def id(self) -> str:
        """``model/method/runtime/device/workload``, unique in a matrix."""
        return f"{self.model}/{self.method}/{self.runtime}/{self.device}/{workload_name(self.workload)}"


def workload_name(workload: Workload) -> str:
    """A short name such as ``b1-s128``, by the letters that the cards of the tasks give their fields."""
    letters = tasks.letters()
    return "-".join(f"{letters.get(field, field)}{value}" for field, value in workload)


def expand(matrix: Matrix) -> list[MatrixCell]:
    """All cells of a matrix, in the order of the file: model, workload, method, runtime, device."""
    originals = _originals(matrix)
    cells, index = {cell.id: cell for cell in originals}, _Index(originals)
    for include in matrix.include:
        matched = [cell.id for cell in index.agreeing(include)]
        if matched:
            cells.update({id: _with(cells[id], include) for id in matched})
        else:
            cells.update({cell.id: cell for cell in _new(matrix, include)})
    return list(cells.values())


def idle_includes(matrix: Matrix) -> list[int]:
    """Places of the ``include`` entries that agree with no combination and name too little to make a new one."""
    originals = _Index(_originals(matrix))
    return [
        index
        for index, include in enumerate(matrix.include)
        if not (include.names("model") and include.names("method") and include.names("runtime"))
        and not originals.agreeing(include)
    ]


def _originals(matrix: Matrix) -> list[MatrixCell]:
    """The product of the axes without what ``exclude`` drops."""
    cells: dict[str, MatrixCell] = {}
    for model in matrix.models:
        axes = product(
            workloads_of(matrix, model), (method.name for method in matrix.methods), matrix.runtimes, matrix.devices
        )
        for workload, method, runtime, device in axes:
            cell = MatrixCell(model.name, method, runtime, device, workload)
            cells[cell.id] = cell
    index = _Index(list(cells.values()))
    dropped = {cell for pattern in matrix.exclude for cell in index.agreeing(pattern)}
    return [cell for cell in cells.values() if cell not in dropped]


class _Index:
    """Cells by their values, so that each pattern looks at those that it names and not at all."""

    def __init__(self, cells: Sequence[MatrixCell]) -> None:
        self._cells = cells
        self._by_values: dict[_Keys, dict[_Values, list[MatrixCell]]] = {}  # made for the keys that patterns have

    def agreeing(self, pattern: Pattern) -> list[MatrixCell]:
        """The cells that agree with every key of a pattern."""
        axes = [axis for axis in AXES if axis != "workload" and pattern.names(axis)]
        fields = tuple(pattern.workload or ())
        names = [pattern.names(axis) for axis in axes]
        if math.prod(map(len, names)) > len(self._cells):  # fewer cells than combinations
            return [cell for cell in self._cells if _agrees(cell, pattern)]
        keys = (tuple(axes), fields)
        if keys not in self._by_values:
            self._by_values[keys] = self._group(*keys)
        wanted = tuple((pattern.workload or {}).values())
        groups: dict[_Values, None] = dict.fromkeys((*combination, *wanted) for combination in product(*names))
        return [cell for values in groups for cell in self._by_values[keys].get(values, ())]

    def _group(self, axes: tuple[str, ...], fields: tuple[str, ...]) -> dict[_Values, list[MatrixCell]]:
        found: dict[_Values, list[MatrixCell]] = {}
        for cell in self._cells:
            workload = dict(cell.workload)
            values = (*(getattr(cell, axis) for axis in axes), *(workload.get(name) for name in fields))
            found.setdefault(values, []).append(cell)
        return found


def workloads_of(matrix: Matrix, model: Model) -> list[Workload]:
    """The model's own workloads, else the matrix's for its task, else the task's default; missing fields filled in."""
    given = model.workloads if model.workloads is not None else matrix.workloads.get(model.task, [{}])
    return [_complete(model.task, workload) for workload in given]


def _complete(task: str, workload: Mapping[str, int]) -> Workload:
    return tuple((name, workload.get(name, field.default)) for name, field in tasks.card(task).fields.items())


def _agrees(cell: MatrixCell, pattern: Pattern) -> bool:
    if pattern.workload is not None and not pattern.workload.items() <= dict(cell.workload).items():
        return False
    return all(
        getattr(cell, axis) in (pattern.names(axis) or [getattr(cell, axis)])
        for axis in ("model", "method", "runtime", "device")
    )


def _with(cell: MatrixCell, include: Include) -> MatrixCell:
    given = include.model_dump(include={"rounds", "max_seconds", "memory", "timeout"}, exclude_none=True)
    return replace(cell, **given)


def _new(matrix: Matrix, include: Include) -> Iterator[MatrixCell]:
    """New cells of an entry that agrees with none; none where it does not name model, method and runtime."""
    given = include.workload
    for model in (model for model in matrix.models if model.name in include.names("model")):
        workloads = workloads_of(matrix, model) if given is None else [_complete(model.task, given)]
        names = product(*(include.names(axis) for axis in ("method", "runtime")), include.names("device") or ["cpu"])
        for workload, (method, runtime, device) in product(workloads, names):
            yield _with(MatrixCell(model.name, method, runtime, device, workload), include)
