"""What a site's history says, run by run and cell by cell, in words of the report's language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness import stats
from harness.report.charts.sparkline import Point, sparkline
from harness.report.history.compare import THRESHOLD, Change, RunComparison, What
from harness.report.history.runs import History
from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.language.markup import shorten
from harness.report.language.phrases import quality_word, ratio, ratio_words
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
    machine: str | None = None  # the id, where several machines have lines of the same cells

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
    if found.apart:
        sentences.append(say("history.machines", found.apart))
    for key, ids in (("history.come", found.only_after), ("history.gone", found.only_before)):
        if ids:
            sentences.append(say(key, len(ids)))
    return " ".join(sentences)


def percent(share: float) -> str:
    """A share in percent, without the sign: ``5``."""
    return f"{100 * share:g}"


def trends(history: History, say: Voice) -> list[list[Trend]]:
    """Every cell of any run, grouped by model, task, device, workload and machine as in the report."""
    newest = {name: next(cell for cell in cells if cell) for name, cells in history.lines.items()}
    models = list(dict.fromkeys(cell.model for cell in newest.values()))
    groups: dict[object, list[Trend]] = {}
    for name, cell in sorted(newest.items(), key=lambda item: models.index(item[1].model)):
        machine = cell.machine if name != cell.id else None  # a line of its own for each machine
        key = (cell.model, cell.task, cell.device, tuple(sorted(cell.workload.items())), machine)
        groups.setdefault(key, []).append(_trend(cell, history.lines[name], history, say, machine))
    return list(groups.values())


def _trend(cell: Cell, line: Sequence[Cell | None], history: History, say: Voice, machine: str | None) -> Trend:
    """``line`` is the cell in each run, newest first."""
    oldest_first = list(zip(history.runs, line, strict=True))[::-1]
    places = [found.machine if found and found.machine else run.host for run, found in oldest_first]
    points = [
        Point(
            index,
            places[index],
            latency.p50,
            numbers.finite_interval(latency.interval),
            f"{run.date}: {_latency(found, say)}",
        )
        for index, (run, found) in enumerate(oldest_first)
        if found and found.status is Status.OK and (latency := found.latency_ms) and numbers.finite(latency.p50)
    ]
    label = say("history.label", values=", ".join(point.title for point in points))
    chart = sparkline(points, places, label)
    if line[0] is None:
        return Trend(cell, chart, None, (Words(say("history.cell-gone")),), machine)
    latest = _latency(cell, say) if cell.latency_ms else say(f"status.{cell.status}")
    return Trend(cell, chart, latest, tuple(_changes(cell, history.comparisons[0], say)), machine)


def _latency(cell: Cell, say: Voice) -> str:
    latency = cell.latency_ms
    return say("unit.ms", value=numbers.measured(latency.p50, latency.interval)) if latency else numbers.DASH


def _changes(cell: Cell, found: RunComparison | None, say: Voice) -> Iterator[Words]:
    if found is None:
        return
    change = next((change for change in found.changes if change.after is cell), None)
    if change is None:
        yield Words(say("history.cell-new"))
        return
    before, after = change.before, change.after
    if before.status is not after.status:
        yield Words(say("history.status-was", status=say(f"status.{before.status}")), change.signs.get("status"))
    if change.speed:
        yield _speed(change.speed, change.signs.get("speed"), say)
    elif before.latency_ms and after.latency_ms and change.apart:
        yield Words(say("history.other-machine"))
    yield from _sizes(change, say)
    if change.quality and after.quality and "quality" in change.signs:
        word = say(f"quality.{quality_word(change.quality.interval, change.quality.better)}")
        difference = numbers.difference(change.quality.value, change.quality.interval)
        metric = shorten(say.word(summary.metric(after.quality.metric)))
        yield Words(f"{metric} {difference} {word}", change.signs["quality"])


def _speed(speed: stats.Comparison, faster: bool | None, say: Voice) -> Words:
    """``faster`` is None where no change of at least the threshold is shown."""
    if faster is None:
        return Words(say("history.no-speed", speed=ratio(speed), threshold=percent(THRESHOLD)))
    text = ratio(speed, turned=not faster)
    return Words(say(f"speed.{'faster' if faster else 'slower'}", speed=text), faster)


def _sizes(change: Change, say: Voice) -> Iterator[Words]:
    sizes: dict[What, Message | None] = {
        "weights": ratio_words(change.weights, "smaller", "larger"),
        "ram": ratio_words(change.ram, "less", "more"),
    }
    for what, message in sizes.items():
        if what in change.signs and message:
            yield Words(say(f"history.{what}", change=say.message(message)), change.signs[what])
