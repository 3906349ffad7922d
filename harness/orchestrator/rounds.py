"""Which rounds of a cell count, and which cells are measured once more.

A round that something disturbed says little of the cell, and rounds that differ much say little of its mean. Such a cell gets
more rounds, one after the other, within the budget of the matrix; what came first stays on record.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness import stats
from harness.matrix.plan import Plan, PlannedCell, Step
from harness.orchestrator.store import Store

Records = Sequence[Mapping[str, Any]]


def counted(records: Records, wanted: int) -> list[bool]:
    """Of each round whether it counts: all do, but for noisy ones where at least ``wanted`` were quiet."""
    quiet = [record["latency"]["noisy"] is None for record in records]
    return quiet if sum(quiet) >= wanted else [True] * len(records)


def medians(records: Records, wanted: int) -> list[float]:
    """Of the rounds that count, nanoseconds: the unit of all statistics."""
    pairs = zip(records, counted(records, wanted), strict=True)
    return [statistics.median(record["latency"]["nanoseconds"]) for record, counts in pairs if counts]


def unsure(records: Records, wanted: int, spread: float) -> bool:
    """Whether a cell needs another round.

    It does while fewer than ``wanted`` rounds were quiet, or while the 95 % interval of those that count is wider than
    ``spread`` to either side, relative to their geometric mean. A single round has no interval and is never too wide.
    """
    if sum(record["latency"]["noisy"] is None for record in records) < wanted:
        return True
    interval = stats.round_interval(medians(records, wanted))
    return interval is not None and (interval[1] / interval[0]) ** 0.5 - 1 > spread


def extra(plan: Plan, store: Store) -> list[Step]:
    """The next round of each wanted cell that needs one and has one left; empty while its own rounds are not measured."""
    found = (_next(planned, plan.matrix.measure.spread, store) for planned in plan.wanted)
    return [plan.steps[key] for key in dict.fromkeys(filter(None, found))]


def _next(planned: PlannedCell, spread: float, store: Store) -> str | None:
    records = [entry.record() for key in planned.rounds if (entry := store.find(key))]
    if not records or len(records) < len(planned.rounds) or any("unsupported" in record for record in records):
        return None
    for key in planned.extra:
        if not unsure(records, len(planned.rounds), spread):
            return None
        if (entry := store.find(key)) is None:
            return key
        records.append(entry.record())
    return None
