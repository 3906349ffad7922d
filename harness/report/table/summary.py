"""What the numbers say, as sentences that are not yet in a language. Every word of praise hangs on an interval."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.language.untrusted_text import one_line
from harness.report.table.model import Difference, Group, Row, Table
from harness.results import Cell, Results, Status
from harness.stats import SMALLEST_EFFECT, Comparison, Verdict

#: How metrics are written in prose; others are shown by their own name.
METRICS = {"f1": "F1"}
#: Share of rounds that were noisy, above which the report says so before anything else.
BUSY = 0.5


@dataclass(frozen=True)
class Finding:
    """The sentences about one group. ``count`` of a message chooses its plural form."""

    group: Group
    row: Row
    sentences: tuple[tuple[Message, int | None], ...]


def findings(table: Table) -> list[Finding]:
    """One finding for each group in which something was measured against a measured baseline."""
    found = (_finding(group) for group in table.groups)
    return [finding for finding in found if finding]


def noise(results: Results) -> Message:
    """How many rounds were noisy, and how many were left out for it."""
    left = sum(not each.counts for each in results.rounds)
    return Message.of("method.noise", left=str(left), **_noisy_of_all(results))


def busy(results: Results) -> Message | None:
    """A word of caution where most rounds were noisy; None elsewhere."""
    if len(results.noisy_rounds) <= BUSY * len(results.rounds):
        return None
    return Message.of("busy", **_noisy_of_all(results))


def _noisy_of_all(results: Results) -> dict[str, str]:
    return {"noisy": str(len(results.noisy_rounds)), "all": str(len(results.rounds))}


def _finding(group: Group) -> Finding | None:
    rivals = [row for row in group.measured if row.speed and row.cell.status is Status.OK]
    if group.baseline is None or not rivals:
        return None
    row = max(rivals, key=_speedup)
    sentences = [_speed_sentence(group, group.baseline, row)]
    if row.weights_ratio:
        sentences.append((_size_sentence(row.weights_ratio), None))
    if row.quality and row.cell.quality:
        sentences.append((_quality_sentence(row.quality, row.cell.quality.metric), None))
        safe = [
            rival for rival in rivals if rival.quality and rival.quality.interval and rival.quality.better is not False
        ]
        best = max(safe, key=_speedup, default=None)
        if row.quality.better is False and best and best.speed and _seems_faster(best):
            arguments = {"metric": metric(row.cell.quality.metric), "cell": name(best.cell), "speed": ratio(best.speed)}
            sentences.append((Message("finding.safe", arguments), None))
    return Finding(group, row, tuple(sentences))


def _seems_faster(row: Row) -> bool:
    """Faster by verdict, or by interval where the rounds are too few for one."""
    beyond = row.speed is not None and row.speed.interval is not None and row.speed.interval[0] > 1 + SMALLEST_EFFECT
    return row.verdict is Verdict.FASTER or (row.verdict is None and beyond)


def _speedup(row: Row) -> float:
    return row.speed.speedup if row.speed else 0.0


def _speed_sentence(group: Group, baseline: Row, row: Row) -> tuple[Message, int | None]:
    assert row.speed
    arguments = {"device": group.device.upper(), "cell": name(row.cell), "baseline": name(baseline.cell)}
    arguments["speed"] = ratio(row.speed, turned=row.verdict is Verdict.SLOWER)
    if row.verdict is None:
        return Message("finding.few", {**arguments, "count": str(row.speed.rounds)}), row.speed.rounds
    return Message(f"finding.{row.verdict}", arguments), None


def _size_sentence(ratio_: float) -> Message:
    if 1 / (1 + SMALLEST_EFFECT) <= ratio_ <= 1 + SMALLEST_EFFECT:
        return Message("finding.same-size", {})
    smaller = ratio_ > 1
    text = numbers.ratio(ratio_ if smaller else 1 / ratio_)
    return Message.of("finding.smaller" if smaller else "finding.larger", ratio=text)


def _quality_sentence(difference: Difference, metric_: str) -> Message:
    text = numbers.difference(difference.value, difference.interval)
    return Message.of(f"finding.quality-{quality_word(difference)}", metric=metric(metric_), difference=text)


def quality_word(difference: Difference) -> str:
    """``same``, ``better``, ``worse`` or ``unknown``."""
    if difference.interval is None:
        return "unknown"
    return {True: "better", False: "worse", None: "same"}[difference.better]


def speed_words(row: Row) -> Message | None:
    """A row's speed against its baseline: the ratio with its interval and the verdict's word."""
    if row.speed is None:
        return None
    text = ratio(row.speed, turned=row.verdict is Verdict.SLOWER)
    return Message.of(f"speed.{row.verdict or 'few'}", speed=text)


def ratio_words(ratio_: float | None, smaller: str, larger: str) -> Message | None:
    """A size or memory ratio in words: ``3.9× smaller``; within 1 % it is the same."""
    if ratio_ is None:
        return None
    if abs(ratio_ - 1) < 0.01:
        return Message("ratio.same", {})
    text = numbers.ratio(ratio_ if ratio_ > 1 else 1 / ratio_)
    return Message.of(f"ratio.{smaller if ratio_ > 1 else larger}", ratio=text)


def ratio(speed: Comparison, *, turned: bool = False) -> str:
    """A speed-up with its interval; ``turned``: as how many times slower."""
    if not turned:
        return numbers.ratio(speed.speedup, speed.interval)
    interval = (1 / speed.interval[1], 1 / speed.interval[0]) if speed.interval else None
    return numbers.ratio(1 / speed.speedup, interval)


def name(cell: Cell) -> str:
    """How a cell is called inside its group."""
    return " ".join(part if len(part) <= 60 else part[:59] + "…" for part in map(one_line, (cell.runtime, cell.method)))


def metric(name_: str) -> str:
    """How a metric is called in prose."""
    return METRICS.get(name_, name_)
