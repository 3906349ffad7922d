"""Which rounds of a cell count, and which cells are measured once more.

A round that something disturbed says little of the cell, and rounds that differ much say little of its mean. Such a cell gets
more rounds, one after the other, those first that need it most, within the matrix's budget; what came first stays on record.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from harness import stats
from harness.matrix.plan import Plan, PlannedCell, Step
from harness.orchestrator.store import Store

Records = Sequence[Mapping[str, Any]]

#: A round whose fixed loop took this much longer than usual is noisy. In the quiet it stays within 3 %, whatever the runtime;
#: a neighbour on the core's other hardware thread makes it 1.3 times and more.
PACE_LIMIT = 1.10


def usual_pace(records: Iterable[Mapping[str, Any]]) -> float | None:
    """Nanoseconds that the fixed loop takes where nothing slows this machine, or None where there are no rounds.

    It is the 10th percentile over all rounds of a run: unlike the fastest, it does not hang on a single one.
    """
    paces = [record["latency"]["pace_ns"] for record in records]
    return stats.percentile(paces, 10) if paces else None


def usual_pace_of(plan: Plan, store: Store) -> float | None:
    """The usual pace over all rounds of a plan that are in the store."""
    keys = [key for planned in plan.cells for key in (*planned.rounds, *planned.extra)]
    records = [entry.record() for key in keys if (entry := store.find(key))]
    return usual_pace(record for record in records if "unsupported" not in record)


def noise(record: Mapping[str, Any], usual: float | None) -> str | None:
    """Why a round is noisy, or None: what its own counters say, or a pace that is not the ``usual`` one of the machine."""
    latency = record["latency"]
    if latency["noisy"] is None and usual and latency["pace_ns"] > PACE_LIMIT * usual:
        return f"the processor was slowed: a fixed loop took {latency['pace_ns'] / usual:.2f} times as long as usual"
    return cast(str | None, latency["noisy"])


def counted(records: Records, wanted: int, usual: float | None) -> list[bool]:
    """Of each round whether it counts: all do, but for noisy ones where at least ``wanted`` were quiet."""
    quiet = [noise(record, usual) is None for record in records]
    return quiet if sum(quiet) >= wanted else [True] * len(records)


def medians(records: Records, wanted: int, usual: float | None) -> list[float]:
    """Of the rounds that count, nanoseconds: the unit of all statistics."""
    pairs = zip(records, counted(records, wanted, usual), strict=True)
    return [statistics.median(record["latency"]["nanoseconds"]) for record, counts in pairs if counts]


def unsure(records: Records, wanted: int, usual: float | None, spread: float) -> float:
    """How much a cell needs another round: 0 where it does not, infinite while fewer than ``wanted`` rounds were quiet.

    Between the two it is the half width of the 95 % interval of those that count, relative to their geometric mean, where that
    is more than ``spread``. A single round has no interval and is never too wide.
    """
    if sum(noise(record, usual) is None for record in records) < wanted:
        return math.inf
    interval = stats.round_interval(medians(records, wanted, usual))
    half_width = (interval[1] / interval[0]) ** 0.5 - 1 if interval else 0.0
    return half_width if half_width > spread else 0.0


def extra(plan: Plan, store: Store) -> list[Step]:
    """The next round of each wanted cell that needs one, the most unsure first; empty while its own are not measured.

    All extra rounds together may take ``measure.extra_share`` of the time that the planned rounds took.
    """
    measure = plan.matrix.measure
    cells = [_Cell.of(planned, store) for planned in plan.wanted]
    usual = usual_pace_of(plan, store)
    budget_s = measure.extra_share * sum(cell.planned_s for cell in cells) - sum(cell.extra_s for cell in cells)
    needy = [(need, cell) for cell in cells if cell.next and (need := cell.unsure(usual, measure.spread))]
    found = []
    for _, cell in sorted(needy, key=lambda pair: -pair[0]):
        if cell.next and cell.round_s <= budget_s:
            budget_s -= cell.round_s
            found.append(plan.steps[cell.next])
    return found


@dataclass(frozen=True)
class _Cell:
    """The rounds of a cell that are in the store; none while one of the planned is missing or the runtime refused."""

    records: Records
    wanted: int
    next: str | None  # the key of the round that could be measured now

    @classmethod
    def of(cls, planned: PlannedCell, store: Store) -> _Cell:
        records: list[Mapping[str, Any]] = []
        for key in (*planned.rounds, *planned.extra):
            if (entry := store.find(key)) is None:
                return cls(records, len(planned.rounds), key) if key in planned.extra else cls([], 0, None)
            if "unsupported" in (record := entry.record()):
                return cls([], 0, None)
            records.append(record)
        return cls(records, len(planned.rounds), None)

    def unsure(self, usual: float | None, spread: float) -> float:
        return unsure(self.records, self.wanted, usual, spread) if self.records else 0.0

    @property
    def planned_s(self) -> float:
        return sum(map(_seconds, self.records[: self.wanted]))

    @property
    def extra_s(self) -> float:
        return sum(map(_seconds, self.records[self.wanted :]))

    @property
    def round_s(self) -> float:
        return self.planned_s / max(self.wanted, 1)


def _seconds(record: Mapping[str, Any]) -> float:
    """What a round took from the import of the runtime to its last sample."""
    return math.fsum(phase["seconds"] for phase in record["phases"].values())
