"""What each runtime costs before it has loaded anything, and which versions ran: one line a runtime."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from harness.report.table.model import Table


@dataclass(frozen=True)
class RuntimeFacts:
    """One runtime on one device of one machine, over all its measured rows."""

    name: str
    device: str
    machine: str | None
    image: str
    floor_bytes: float  # median over rows: resident with the runtime imported and no model loaded
    versions: Mapping[str, str]
    rows: int


def runtimes(table: Table) -> list[RuntimeFacts]:
    """Every runtime that was measured, in the order of the rows."""
    found: dict[tuple[str, str, str | None], list[tuple[int, Mapping[str, str], str]]] = {}
    for row in table.rows:
        cell = row.cell
        if row.measured and cell.memory and cell.image:
            facts = (cell.memory.floor_bytes, cell.versions or {}, cell.image.name)
            found.setdefault((cell.runtime, cell.device, cell.machine), []).append(facts)
    return [
        RuntimeFacts(
            name, device, machine, rows[0][2], statistics.median(row[0] for row in rows), rows[0][1], len(rows)
        )
        for (name, device, machine), rows in found.items()
    ]
