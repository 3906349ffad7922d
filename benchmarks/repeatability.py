"""Two whole runs of one matrix on one machine: for what share of the cells do the 95 % intervals of latency overlap?

Run by hand with two results files: ``python benchmarks/repeatability.py before.json after.json``. Two intervals of 95 % that
are honest overlap in more than 99 % of cases where nothing has changed; here 90 % are asked for, for hours differ.
"""

from __future__ import annotations

import sys

from harness.report.history.compare import load
from harness.results import Cell, Status

WANTED = 0.9


def main() -> None:
    """Print the share and a line for every cell that is not part of it; exit with 1 below nine of ten."""
    before, after = (load(name) for name in sys.argv[1:3])
    if before.machines.keys() != after.machines.keys():
        print("the runs come from different machines: their latencies are not comparable")
    old = {cell.id: cell for cell in before.cells}
    pairs = [(old[cell.id], cell) for cell in after.cells if cell.id in old and _known(cell) and _known(old[cell.id])]
    apart = [(one, other) for one, other in pairs if not _overlap(one, other)]
    share = 1 - len(apart) / len(pairs)
    print(f"{len(pairs) - len(apart)} of {len(pairs)} cells overlap: {share:.0%} (wanted: {WANTED:.0%})")
    for one, other in apart:
        print(f"{other.id:<60} {_told(one)} then {_told(other)}")
    sys.exit(0 if share >= WANTED else 1)


def _known(cell: Cell) -> bool:
    measured = cell.status in (Status.OK, Status.DIVERGED)
    return measured and cell.latency_ms is not None and cell.latency_ms.interval is not None


def _overlap(one: Cell, other: Cell) -> bool:
    (low, high), (other_low, other_high) = _interval(one), _interval(other)
    return low <= other_high and other_low <= high


def _told(cell: Cell) -> str:
    low, high = _interval(cell)
    return f"[{low:.4g}, {high:.4g}] ms"


def _interval(cell: Cell) -> tuple[float, float]:
    assert cell.latency_ms
    assert cell.latency_ms.interval
    return cell.latency_ms.interval


if __name__ == "__main__":
    main()
