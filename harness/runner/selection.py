"""Which cells a run is about: ``--only``, ``--skip``, ``--cell``, ``--failed``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import results
from harness.errors import UsageError, did_you_mean
from harness.matrix import spec
from harness.matrix.expand import MatrixCell, workload_name


def selection(
    all_cells: Sequence[MatrixCell],
    only: Sequence[str],
    skip: Sequence[str],
    ids: Sequence[str],
    failed_in: Path | None,
) -> Callable[[MatrixCell], bool]:
    """Whether a cell is picked. Raises UsageError for a name that no cell has, or where nothing is left."""
    wanted, unwanted = _axes(only, all_cells), _axes(skip, all_cells)
    known = dict.fromkeys(cell.id for cell in all_cells)
    for name in ids:
        if name not in known:
            raise UsageError(f"there is no cell {name!r}", did_you_mean(name, list(known)))
    named = frozenset(ids)
    failures = _failed(failed_in) if failed_in else None

    def picked(cell: MatrixCell) -> bool:
        return (
            all(_value(cell, axis) in values for axis, values in wanted.items())
            and not any(_value(cell, axis) in values for axis, values in unwanted.items())
            and (not named or cell.id in named)
            and (failures is None or cell.id in failures)
        )

    if not any(picked(cell) for cell in all_cells):
        raise UsageError("the selection leaves no cell", "see all with `harness plan`")
    return picked


def _value(cell: MatrixCell, axis: str) -> str:
    return workload_name(cell.workload) if axis == "workload" else str(getattr(cell, axis))


def _axes(terms: Sequence[str], cells: Sequence[MatrixCell]) -> Mapping[str, set[str]]:
    """``axis=a,b`` terms as sets of values; raises UsageError for an unknown axis or value, naming the nearest."""
    picked: dict[str, set[str]] = {}
    for term in (part for text in terms for part in text.split()):
        axis, separator, values = term.partition("=")
        if not separator or axis not in spec.AXES:
            raise UsageError(
                f"{term!r} does not pick cells", f"write AXIS=VALUE,VALUE with one of: {', '.join(spec.AXES)}"
            )
        known = sorted({_value(cell, axis) for cell in cells})
        for value in values.split(","):
            if value not in known:
                raise UsageError(f"no cell has the {axis} {value!r}", did_you_mean(value, known))
            picked.setdefault(axis, set()).add(value)
    return picked


def _failed(out: Path) -> set[str]:
    before = results.read(out / "results.json")
    if before is None:
        raise UsageError(f"{out / 'results.json'} does not exist: nothing has failed yet", "run without --failed")
    return {cell.id for cell in before.cells if cell.status.failed}
