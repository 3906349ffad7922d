"""The geometry of a plot: scales, ticks, places for labels. Numbers in, numbers out; ``charts.py`` draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A map from values to pixels, linear or logarithmic, over a padded domain."""

    low: float
    high: float
    start: float  # pixel of ``low``
    end: float  # pixel of ``high``; below ``start`` where the axis runs upwards
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of ``value``."""
        low, high, at = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Four to eight round values inside the domain."""
        if not self.log:
            return _linear_ticks(self.low, self.high)
        for multiples in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [m * 10.0**power for power in powers for m in multiples if self.low <= m * 10.0**power <= self.high]
            if len(found) >= 4:
                return found
        return found


def scale(values: Iterable[float], start: float, end: float, padding: float = 0.08) -> Scale:
    """A scale that holds all values: logarithmic where positive values spread over more than fivefold."""
    known = list(values)
    low, high = min(known), max(known)
    if low > 0 and high / low > 5:
        margin = (high / low) ** padding
        return Scale(low / margin, high * margin, start, end, log=True)
    margin = (high - low) * padding or abs(high) * 0.05 or 1.0
    return Scale(low - margin, high + margin, start, end)


def _linear_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]


def px(value: float) -> str:
    """A pixel as SVG files write it: a tenth of one is enough."""
    return f"{value:.1f}".removesuffix(".0")


def front(points: Sequence[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """Indices of the points that no other beats: lower ``x``, better ``y``; in order of ``x``."""
    sign = 1 if higher_is_better else -1
    best = -math.inf
    found = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1])):
        if sign * points[index][1] > best:
            best = sign * points[index][1]
            found.append(index)
    return found


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """The area that two boxes share."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0.0, across) * max(0.0, down)

    def inside(self, other: Box) -> bool:
        """Whether this box lies within the other."""
        return (
            other.x <= self.x
            and other.y <= self.y
            and self.x + self.width <= other.x + other.width
            and self.y + self.height <= other.y + other.height
        )


def place_label(
    width: float, height: float, at: tuple[float, float], taken: Sequence[Box], frame: Box, gap: float
) -> Box | None:
    """A free place for a label around a point; None where all are taken."""
    x, y = at
    for candidate in (
        Box(x + gap, y - height / 2, width, height),
        Box(x - gap - width, y - height / 2, width, height),
        Box(x - width / 2, y - gap - height, width, height),
        Box(x - width / 2, y + gap, width, height),
        Box(x + gap * 0.4, y - gap * 0.8 - height, width, height),
        Box(x + gap * 0.4, y + gap * 0.8, width, height),
        Box(x - gap * 0.4 - width, y - gap * 0.8 - height, width, height),
        Box(x - gap * 0.4 - width, y + gap * 0.8, width, height),
    ):
        if candidate.inside(frame) and not any(candidate.overlap(box) for box in taken):
            return candidate
    return None
