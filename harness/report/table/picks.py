"""The three cells of a group that matter: the fastest, the smallest and the best-balanced that cost little quality.

The page draws the picks again, with ``templates/page/picks.js``, when its reader moves the limits; a browser test holds both
to the same choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness import stats
from harness.report.table.build import compare_speed
from harness.report.table.model import Group, Row
from harness.results import Status

#: The loss of quality that the first glance accepts, of the original's: 1 %.
QUALITY_LOSS = 0.01
#: Sizes nearer to each other than this are a tie.
SAME_SIZE = 0.01


@dataclass(frozen=True)
class Pick:
    """A picked row, and those that cannot be told from it in what it was picked for."""

    row: Row
    ties: tuple[Row, ...]


@dataclass(frozen=True)
class Picks:
    """What a group offers within a loss of quality; None and no candidates where nothing keeps within it."""

    fastest: Pick | None
    smallest: Pick | None
    balanced: Pick | None
    candidates: int


def picks(group: Group, quality_loss: float = QUALITY_LOSS) -> Picks:
    """The picks among the rows that ran, agree with the reference and lose at most ``quality_loss`` of the original's quality.

    The balanced one has the smallest geometric mean of latency, weights and RAM, each over the best of the candidates.
    """
    original = original_quality(group)
    ran = [row for row in group.rows if row.cell.status is Status.OK and row.timed and row.scored]
    rows = [row for row in ran if original is not None and loss(row, original) <= quality_loss]
    sized = [row for row in rows if row.cell.weights_bytes]
    fastest = min(rows, key=_latency, default=None)
    smallest = min(sized, key=_weights, default=None)
    complete = [row for row in sized if row.cell.ram_bytes]
    best = [min(map(measure, complete), default=1.0) for measure in (_latency, _weights, _ram)]
    balanced = min(complete, key=lambda row: imbalance(row, best), default=None)
    return Picks(
        fastest=Pick(fastest, tuple(row for row in rows if _as_fast(row, fastest))) if fastest else None,
        smallest=Pick(smallest, tuple(row for row in sized if _as_small(row, smallest))) if smallest else None,
        balanced=Pick(balanced, ()) if balanced else None,
        candidates=len(rows),
    )


def original_quality(group: Group) -> float | None:
    """The quality of the original that the group's changes are against; else of the original in the group; else None."""
    qualities = [row.cell.quality for row in group.rows if row.cell.quality and row.scored]
    against = (
        quality.value - quality.change
        for quality in qualities
        if quality.change is not None and math.isfinite(quality.change)
    )
    own = (
        row.cell.quality.value
        for row in group.rows
        if row.cell.quality and row.scored and row.cell.method == "original"
    )
    found = next(against, next(own, None))
    return found if found and 0 < found < math.inf else None


def loss(row: Row, original: float) -> float:
    """Share of the original's quality that a row with a quality loses; negative is a gain."""
    quality = row.cell.quality
    assert quality
    return (original - quality.value if quality.higher_is_better else quality.value - original) / original


def imbalance(row: Row, best: list[float]) -> float:
    """Geometric mean of latency, weights and RAM over the ``best`` of each."""
    ratios = (_latency(row) / best[0], _weights(row) / best[1], _ram(row) / best[2])
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def _as_fast(row: Row, fastest: Row) -> bool:
    """Whether another row's rounds cannot be told from the fastest's: the interval of the ratio reaches the smallest effect."""
    if row is fastest:
        return False
    speed = compare_speed(row.cell, fastest.cell)
    return bool(speed and speed.interval and speed.interval[1] > 1 / (1 + stats.SMALLEST_EFFECT))


def _as_small(row: Row, smallest: Row) -> bool:
    return row is not smallest and _weights(row) <= _weights(smallest) * (1 + SAME_SIZE)


def _latency(row: Row) -> float:
    return row.cell.latency_ms.p50 if row.cell.latency_ms else math.inf


def _weights(row: Row) -> float:
    return row.cell.weights_bytes or math.inf


def _ram(row: Row) -> float:
    return row.cell.ram_bytes or math.inf
