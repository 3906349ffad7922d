"""What a site's history says, run by run and cell by cell, in words of the report's language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import stats
from harness.report.charts.sparkline import Point, sparkline
from harness.report.history.compare import THRESHOLD, Change, RunComparison, What
from harness.report.history.runs import History
from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.language.markup import shorten
from harness.report.language.voice import Voice
from harness.report.table import summary
from harness.results import Cell, Status


@dataclass(frozen=True)
class Words:
    """A change in words; ``better`` is None where it is for neither the better nor the worse."""

    text: str
    better: bool | None = None


@dataclass(frozen=True)
class Trend:
    """One cell over the runs. ``latest`` is its latency or its status in the newest run, None where that lacks it."""

    cell: Cell
    chart: str | None
    latest: str | None
    changes: tuple[Words, ...]

    @property
    def struck(self) -> bool:
        """Whether the newest latency is not worth comparing, for the outputs left the reference."""
        return self.cell.status is Status.DIVERGED and self.cell.latency_ms is not None


def told(found: RunComparison | None, say: Voice) -> str:
    """What changed in a run against the one before it, in a sentence or two; plain text."""
    if found is None:
        return say("history.first")
    counts = [
        say(f"history.{what}-{'better' if better else 'worse'}", count)
        for (what, better), count in found.counts.items()
    ]
    changes = ", ".join(counts) or say("history.no-change")
    sentences = [say("history.compared", len(found.changes), changes=changes)]
    if not found.same_machine:
        sentences.append(say("history.machines"))
    for key, ids in (("history.come", found.only_after), ("history.gone", found.only_before)):
        if ids:
            sentences.append(say(key, len(ids)))
    return " ".join(sentences)


def percent(share: float) -> str:
    """A share in percent, without the sign: ``5``."""
    return f"{100 * share:g}"


def trends(history: History, say: Voice) -> list[list[Trend]]:
    """Every cell of any run, grouped by model, device and workload as in the report."""
    models = list(dict.fromkeys(cell.model for cell in history.cells.values()))
    groups: dict[object, list[Trend]] = {}
    for id, cell in sorted(history.cells.items(), key=lambda item: models.index(item[1].model)):
        key = (cell.model, cell.device, tuple(sorted(cell.workload.items())))
        groups.setdefault(key, []).append(_trend(id, cell, history, say))
    return list(groups.values())


def _trend(id: str, cell: Cell, history: History, say: Voice) -> Trend:
    oldest_first = history.runs[::-1]
    points = [
        Point(index, run.host, latency.p50, latency.interval, f"{run.date}: {_latency(found, say)}")
        for index, run in enumerate(oldest_first)
        if (found := run.cells.get(id)) and found.status is Status.OK and (latency := found.latency_ms)
    ]
    label = say("history.label", values=", ".join(point.title for point in points))
    chart = sparkline(points, [run.host for run in oldest_first], label)
    if id not in history.newest.cells:
        return Trend(cell, chart, None, (Words(say("history.cell-gone")),))
    latest = _latency(cell, say) if cell.latency_ms else say(f"status.{cell.status}")
    return Trend(cell, chart, latest, tuple(_changes(id, history.comparisons[0], say)))


def _latency(cell: Cell, say: Voice) -> str:
    latency = cell.latency_ms
    return say("unit.ms", value=numbers.measured(latency.p50, latency.interval)) if latency else numbers.DASH


def _changes(id: str, found: RunComparison | None, say: Voice) -> Iterator[Words]:
    if found is None:
        return
    change = next((change for change in found.changes if change.after.id == id), None)
    if change is None:
        yield Words(say("history.cell-new"))
        return
    before, after = change.before, change.after
    if before.status is not after.status:
        yield Words(say("history.status-was", status=say(f"status.{before.status}")), change.signs.get("status"))
    if change.speed:
        yield _speed(change.speed, change.signs.get("speed"), say)
    elif before.latency_ms and after.latency_ms and not found.same_machine:
        yield Words(say("history.other-machine"))
    yield from _sizes(change, say)
    if change.quality and after.quality and "quality" in change.signs:
        word = say(f"quality.{summary.quality_word(change.quality)}")
        difference = numbers.difference(change.quality.value, change.quality.interval)
        metric = shorten(summary.metric(after.quality.metric))
        yield Words(f"{metric} {difference} {word}", change.signs["quality"])


def _speed(speed: stats.Comparison, faster: bool | None, say: Voice) -> Words:
    """``faster`` is None where no change of at least the threshold is shown."""
    if faster is None:
        return Words(say("history.no-speed", speed=summary.ratio(speed), threshold=percent(THRESHOLD)))
    text = summary.ratio(speed, turned=not faster)
    return Words(say(f"speed.{'faster' if faster else 'slower'}", speed=text), faster)


def _sizes(change: Change, say: Voice) -> Iterator[Words]:
    sizes: dict[What, Message | None] = {
        "weights": summary.ratio_words(change.weights, "smaller", "larger"),
        "ram": summary.ratio_words(change.ram, "less", "more"),
    }
    for what, message in sizes.items():
        if what in change.signs and message:
            yield Words(say(f"history.{what}", change=say.message(message)), change.signs[what])
