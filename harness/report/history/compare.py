"""Two runs beside each other: what got faster, slower, smaller, larger, better or worse, and whether that is a regression.

Speeds and memory are compared only where a cell was measured on the same machine in both; sizes and quality anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import stats
from harness.errors import UsageError
from harness.report.history import revisions
from harness.report.language import numbers
from harness.report.language.markup import escape, shorten
from harness.report.table.build import compare_speed, difference
from harness.report.table.model import Difference, size_ratio
from harness.results import Cell, Results, Status, parse, read

What = Literal["status", "speed", "weights", "ram", "quality"]

THRESHOLD = 0.05  # relative change of size, memory or speed that counts, unless another one is asked for
SIGNIFICANT = 0.05  # of p-values, after Holm's correction over all cells of the comparison
WORDS: Mapping[What, tuple[str, str]] = {  # for the better, for the worse
    "status": ("works again", "broken"),
    "speed": ("faster", "slower"),
    "weights": ("smaller", "larger"),
    "ram": ("less RAM", "more RAM"),
    "quality": ("better", "worse"),
}


@dataclass(frozen=True)
class Change:
    """One cell in both runs. Ratios are before / after: above 1 is for the better."""

    before: Cell
    after: Cell
    speed: stats.Comparison | None
    p: float | None  # of "no difference in speed", after Holm's correction
    weights: float | None
    ram: float | None
    quality: Difference | None
    signs: Mapping[What, bool]  # what changed beyond the threshold, and whether for the better

    @property
    def apart(self) -> bool:
        """Whether the cell was measured on two machines: then neither speed nor memory is compared."""
        machines = (self.before.machine, self.after.machine)
        return None not in machines and machines[0] != machines[1]

    @property
    def regressions(self) -> list[What]:
        """What changed for the worse."""
        return [what for what, better in self.signs.items() if not better]


@dataclass(frozen=True)
class RunComparison:
    """All cells of two runs."""

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    threshold: float
    machines: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # names of those before and after

    @property
    def counts(self) -> dict[tuple[What, bool], int]:
        """How many cells changed in what, for the better (True) and for the worse, in the order of ``WORDS``."""
        found = Counter(sign for change in self.changes for sign in change.signs.items())
        return {
            (what, better): found[what, better] for what in WORDS for better in (True, False) if found[what, better]
        }

    @property
    def apart(self) -> int:
        """How many cells were measured on another machine than before."""
        return sum(change.apart for change in self.changes)

    @property
    def regressed(self) -> list[Change]:
        """The cells that got worse in anything."""
        return [change for change in self.changes if change.regressions]


def compare(before: Results, after: Results, threshold: float = THRESHOLD) -> RunComparison:
    """Compare cells by id and machine, else by id; a relative change of size, memory or speed counts from ``threshold`` on.

    A speed must differ significantly besides (Welch on the logs of round medians, Holm over all cells), a quality by an
    interval of the difference that does not hold zero.
    """
    pairs, gone, come = _paired(before.cells, after.cells)
    speeds = [compare_speed(new, old) if old.status is Status.OK else None for old, new in pairs]
    tested = [index for index, speed in enumerate(speeds) if speed and speed.p is not None]
    adjusted = dict(
        zip(tested, stats.holm([speed.p or 0.0 for speed in speeds if speed and speed.p is not None]), strict=True)
    )
    changes = tuple(
        _change(old, new, speeds[index], adjusted.get(index), threshold) for index, (old, new) in enumerate(pairs)
    )
    return RunComparison(changes, gone, come, threshold, (_names(before), _names(after)))


def _paired(
    before: Sequence[Cell], after: Sequence[Cell]
) -> tuple[list[tuple[Cell, Cell]], tuple[str, ...], tuple[str, ...]]:
    """Each cell with the same of the other run, in the order of the later one, and the ids of those without.

    The same is what has its id and its machine; failing that its id, for a cell may move to another machine.
    """
    left: dict[str, list[Cell]] = {}
    for cell in before:
        left.setdefault(cell.id, []).append(cell)
    found: dict[int, Cell] = {}
    for exact in (True, False):
        for index, cell in enumerate(after):
            rest = left.get(cell.id, [])
            same = next((old for old in rest if not exact or old.machine == cell.machine), None)
            if index not in found and same is not None:
                found[index] = same
                rest.remove(same)
    pairs = [(found[index], cell) for index, cell in enumerate(after) if index in found]
    gone = tuple(cell.id for cell in before if any(cell is rest for rest in left[cell.id]))
    return pairs, gone, tuple(cell.id for index, cell in enumerate(after) if index not in found)


def _names(results: Results) -> tuple[str, ...]:
    """The machines that measured a run."""
    used = {cell.machine for cell in results.cells}
    return tuple(machine.name for id, machine in results.machines.items() if id in used)


def load(text: str, inside: str = "reports/results.json") -> Results:
    """Results of a file, or of ``inside`` at a git revision. Raises UsageError where there are none that can be read."""
    found = read(Path(text)) if Path(text).is_file() else None
    if found is not None:
        return found
    content = revisions.content(text, inside)
    if content is None:
        raise UsageError(f"{text} is neither a file nor a git revision with {inside}", "name a results.json")
    return parse(content, f"{inside} at {text}")


def _change(before: Cell, after: Cell, speed: stats.Comparison | None, p: float | None, threshold: float) -> Change:
    weights = size_ratio(before.weights_bytes, after.weights_bytes)
    ram = size_ratio(before.ram_bytes, after.ram_bytes) if before.machine == after.machine else None
    quality = difference(after, before)
    signs: dict[What, bool] = {}
    if (before.status is Status.OK) is not (after.status is Status.OK) and Status.SKIPPED not in (
        before.status,
        after.status,
    ):
        signs["status"] = after.status is Status.OK
    if speed and p is not None and p < SIGNIFICANT:
        signs |= _beyond("speed", speed.speedup, threshold)
    signs |= _beyond("weights", weights, threshold) | _beyond("ram", ram, threshold)
    if quality and quality.better is not None:
        signs["quality"] = quality.better
    return Change(before, after, speed, p, weights, ram, quality, signs)


def _beyond(what: What, ratio: float | None, threshold: float) -> dict[What, bool]:
    if ratio is None or 1 / (1 + threshold) <= ratio <= 1 + threshold:
        return {}
    return {what: ratio > 1}


def changed(found: RunComparison) -> list[Change]:
    """The cells that changed in anything, the worst first."""
    return sorted((change for change in found.changes if change.signs), key=lambda change: -len(change.regressions))


# --- as Markdown, for a pull request ----------------------------------------------------------------------------------


def as_markdown(found: RunComparison) -> str:
    """A line that sums up, a table of the cells that changed, worst first, and what cannot be compared."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: RunComparison) -> Iterator[str]:
    told = ", ".join(f"{count} {WORDS[what][not better]}" for (what, better), count in found.counts.items())
    yield f"**{len(found.changes)} cells compared: {told or 'no change'}** (threshold {found.threshold:.0%})"
    if found.apart:
        yield ""
        yield _machines(found)
    if lines := changed(found):
        yield ""
        yield "| cell | change | speed | weights | RAM | quality |"
        yield "| --- | --- | --- | --- | --- | --- |"
        yield from map(_line, lines)
    for title, ids in (("Only before", found.only_before), ("Only after", found.only_after)):
        if ids:
            yield ""
            yield f"{title}: {', '.join(escape(shorten(id)) for id in ids)}"


def _machines(found: RunComparison) -> str:
    """What is not compared, for it was measured on different machines."""
    before, after = (escape(shorten(", ".join(names) or "not known")) for names in found.machines)
    what = f"{found.apart} of {len(found.changes)} cells were measured on different machines"
    return f"{what} (before: {before}; after: {after}): their speed and memory are not compared."


def _line(change: Change) -> str:
    words = [WORDS[what][not better] for what, better in change.signs.items()]
    told = ", ".join(f"**{word}**" if word in {w for _, w in WORDS.values()} else word for word in words)
    if "status" in change.signs and change.after.reason:
        told += f": {escape(shorten(change.after.reason))}"
    speed = numbers.ratio(change.speed.speedup, change.speed.interval) if change.speed else numbers.DASH
    quality = numbers.difference(change.quality.value, change.quality.interval) if change.quality else numbers.DASH
    cells = [
        escape(shorten(change.after.id)),
        told,
        speed,
        change_of_size(change.weights),
        change_of_size(change.ram),
        quality,
    ]
    return f"| {' | '.join(cells)} |"


def change_of_size(ratio: float | None) -> str:
    """How a size changed, after over before, in percent."""
    return f"{100 * (1 / ratio - 1):+.1f} %".replace("-", numbers.MINUS) if ratio else numbers.DASH
