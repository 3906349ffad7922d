"""What the numbers say, as sentences that are not yet in a language. Every word of praise hangs on an interval."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.language import numbers
from harness.report.language.catalogue import Message, Word
from harness.report.language.phrases import quality_word, ratio
from harness.report.table.model import Difference, Group, Row, Table
from harness.results import Cell, Results, Round, Status
from harness.stats import SMALLEST_EFFECT, Verdict
from harness.untrusted_text import one_line

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


def busy(results: Results) -> list[Message]:
    """A word of caution for each machine on which most rounds were noisy."""
    rounds: dict[str | None, list[Round]] = {}
    for cell in results.cells:
        if cell.latency_ms:
            rounds.setdefault(cell.machine, []).extend(cell.latency_ms.rounds)
    found = []
    for machine, all_ in rounds.items():
        noisy = sum(each.noisy is not None for each in all_)
        counts = {"noisy": str(noisy), "all": str(len(all_))}
        if noisy <= BUSY * len(all_):
            continue
        if len(rounds) > 1 and machine:
            found.append(Message("busy.on", {"machine": Word("machine", machine), **counts}))
        else:
            found.append(Message("busy", counts))
    return found


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
            measured = {"cell": name(best.cell), "speed": ratio(best.speed)}
            sentences.append((Message("finding.safe", {"metric": metric(row.cell.quality.metric), **measured}), None))
    return Finding(group, row, tuple(sentences))


def _seems_faster(row: Row) -> bool:
    """Faster by verdict, or by interval where the rounds are too few for one."""
    beyond = row.speed is not None and row.speed.interval is not None and row.speed.interval[0] > 1 + SMALLEST_EFFECT
    return row.verdict is Verdict.FASTER or (row.verdict is None and beyond)


def _speedup(row: Row) -> float:
    return row.speed.speedup if row.speed else 0.0


def _speed_sentence(group: Group, baseline: Row, row: Row) -> tuple[Message, int | None]:
    assert row.speed
    arguments: dict[str, str | Word] = {"device": group.device.upper(), "cell": name(row.cell)}
    arguments["baseline"] = name(baseline.cell)
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
    return Message.of(
        f"finding.quality-{quality_word(difference.interval, difference.better)}",
        metric=metric(metric_),
        difference=text,
    )


def name(cell: Cell) -> str:
    """How a cell is called inside its group."""
    return " ".join(part if len(part) <= 60 else part[:59] + "…" for part in map(one_line, (cell.runtime, cell.method)))


def metric(name_: str) -> Word:
    """How a metric is called in prose."""
    return Word("metric", name_)
