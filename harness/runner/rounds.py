"""Which rounds of a cell count, and which cells are measured once more.

A round that something disturbed says little of the cell, and rounds that differ much say little of its mean. Such a cell gets
more rounds, one after the other, those first that need it most, within the matrix's budget; what came first stays on record.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness import stats
from harness.contracts.record import Measurement
from harness.matrix.plan import Plan, PlannedCell, Step
from harness.runner.store import RoundFacts, Store

#: A round, whole or what is kept in memory of it.
Record = Measurement | RoundFacts
Records = Sequence[Record]

#: A round whose fixed loop took this much more or less time than in the quiet is noisy. There it stays within 4 %, whatever
#: the runtime; a neighbour on the core's other hardware thread makes it 1.3 times and more, a clock that is free to rise 0.85.
PACE_BAND = 0.05
#: So is one in which a quarter of the looks took this much more: it was disturbed for a part of the time.
PACE_TAIL = 0.10
#: The clock moves the pace by less than this, a neighbour by more.
PACE_CLOCK = 1.25


def quiet_pace(paces: Iterable[float]) -> float | None:
    """Nanoseconds that the fixed loop takes where no neighbour is on the core, or None where there are no rounds.

    ``paces`` are the middle looks of rounds. It is the mode of those that no neighbour slowed, told by the fastest tenth: on a
    busy machine most rounds are not quiet.
    """
    known = list(paces)
    if not known:
        return None
    slowest = PACE_CLOCK * stats.percentile(known, 10)
    return stats.mode([pace for pace in known if pace <= slowest])


def pace(record: Record) -> float:
    """The middle one of a round's looks at the pace, nanoseconds."""
    return _facts(record).pace_ns[1]


def _facts(record: Record) -> RoundFacts:
    return record if isinstance(record, RoundFacts) else RoundFacts.of(record)


@dataclass(frozen=True)
class Judge:
    """Tells which rounds count on a machine on which the fixed loop takes ``quiet_ns`` in the quiet."""

    quiet_ns: float | None

    def noise(self, record: Record) -> str | None:
        """Why a round is noisy, or None: what its own counters say, or a pace that is not that of the quiet."""
        facts = _facts(record)
        if (said := facts.noisy) is not None or self.quiet_ns is None:
            return said
        _, middle, high = (look / self.quiet_ns for look in facts.pace_ns)
        if abs(math.log(middle)) > math.log1p(PACE_BAND):
            word = "slower" if middle > 1 else "faster"
            return f"the processor ran {word} than in the quiet: a fixed loop took {middle:.2f} times as long"
        if high > 1 + PACE_TAIL:
            return f"the processor was slower than in the quiet at times: a quarter of the loops took {high:.2f} times as long"
        return None

    def enough(self, records: Records, wanted: int) -> bool:
        """Whether at least ``wanted`` rounds were quiet."""
        return sum(self.noise(record) is None for record in records) >= wanted

    def counted(self, records: Records, wanted: int, paced: bool) -> list[bool]:
        """Of each round whether it counts: all do, but for noisy ones where at least ``wanted`` were quiet.

        Rounds at another pace are left out only where ``paced``: of all cells that are compared with each other, or of none.
        Otherwise one would be told from its rounds in the quiet, and the other from those at any.
        """
        quiet = [(self.noise(record) if paced else _facts(record).noisy) is None for record in records]
        return quiet if sum(quiet) >= wanted else [True] * len(records)

    def medians(self, records: Records, wanted: int, paced: bool) -> list[float]:
        """Of the rounds that count, nanoseconds: the unit of all statistics."""
        pairs = zip(records, self.counted(records, wanted, paced), strict=True)
        return [_facts(record).median_ns for record, counts in pairs if counts]

    def unsure(self, records: Records, wanted: int, spread: float) -> float:
        """How much a cell needs another round: 0 where it does not, infinite while fewer than ``wanted`` were quiet.

        Between the two it is ``half_width``, where that is more than ``spread``.
        """
        if not self.enough(records, wanted):
            return math.inf
        half_width = self.half_width(records, wanted)
        return half_width if half_width > spread else 0.0

    def half_width(self, records: Records, wanted: int) -> float:
        """Of the 95 % interval of its rounds that count, relative to their geometric mean; 0 of a single round."""
        interval = stats.round_interval(self.medians(records, wanted, paced=True))
        return (interval[1] / interval[0]) ** 0.5 - 1 if interval else 0.0


def measured(planned: PlannedCell, store: Store) -> Sequence[RoundFacts]:
    """The rounds of a cell that are in the store; none where the runtime refused."""
    entries = [entry for key in (*planned.rounds, *planned.extra) if (entry := store.find(key))]
    return [found for entry in entries if (found := entry.round)]


def judge(plan: Plan, store: Store) -> Judge:
    """One who knows the quiet pace from all rounds of a plan that are in the store."""
    return Judge(quiet_pace(pace(record) for planned in plan.cells for record in measured(planned, store)))


def extra(plan: Plan, store: Store) -> list[Step]:
    """The next round of each wanted cell that needs one, the most unsure first; empty while its own are not measured.

    All extra rounds together may take ``measure.extra_share`` of the time that the planned rounds took.
    """
    measure = plan.matrix.measure
    cells = [_Cell.of(planned, store) for planned in plan.wanted]
    judging = judge(plan, store)
    budget_s = measure.extra_share * sum(cell.planned_s for cell in cells) - sum(cell.extra_s for cell in cells)
    needs = [(cell.need(judging, measure.spread), cell) for cell in cells]
    found = []
    for (unsure, _), cell in sorted(needs, key=lambda pair: pair[0], reverse=True):
        if unsure and cell.next and cell.round_s <= budget_s:
            budget_s -= cell.round_s
            found.append(plan.steps[cell.next])
    return found


@dataclass(frozen=True)
class _Cell:
    """The rounds of a cell that are in the store; none while one of the planned is missing or the runtime refused."""

    records: Sequence[RoundFacts]
    wanted: int
    next: str | None  # the key of the round that could be measured now

    @classmethod
    def of(cls, planned: PlannedCell, store: Store) -> _Cell:
        records: list[RoundFacts] = []
        for key in (*planned.rounds, *planned.extra):
            if (entry := store.find(key)) is None:
                return cls(records, len(planned.rounds), key) if key in planned.extra else cls([], 0, None)
            if (facts := entry.round) is None:
                return cls([], 0, None)
            records.append(facts)
        return cls(records, len(planned.rounds), None)

    def need(self, judging: Judge, spread: float) -> tuple[float, float]:
        """How unsure it is, and, of those that are equally so for want of quiet rounds, how wide."""
        if not self.records:
            return 0.0, 0.0
        return judging.unsure(self.records, self.wanted, spread), judging.half_width(self.records, self.wanted)

    @property
    def planned_s(self) -> float:
        return sum(record.seconds for record in self.records[: self.wanted])

    @property
    def extra_s(self) -> float:
        return sum(record.seconds for record in self.records[self.wanted :])

    @property
    def round_s(self) -> float:
        return self.planned_s / max(self.wanted, 1)
