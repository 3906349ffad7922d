"""The samples of a cell's rounds as histograms: one small for a row, one a round for its details."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import numpy.typing as npt

from harness.report.charts.marks import Speaker, sheet, text, ticks
from harness.report.charts.plot import Scale, px
from harness.report.language import numbers
from harness.report.language.voice import Voice
from harness.results import Latency


def spark(latency: Latency) -> str:
    """The samples of the rounds that count as one small histogram: whether they have one peak, two, or a long tail."""
    width, height, bar = 60, 16, 3
    samples = _finite([sample for each in latency.rounds if each.counts for sample in each.samples_ms])
    low, high = _middle_range(samples)
    counts, _ = np.histogram(np.clip(samples, low, high), bins=width // bar, range=(low, high))
    svg = Element("svg", {"viewBox": f"0 0 {width} {height}", "class": "spark", "aria-hidden": "true"})
    heights = _pixels(counts, height - 1)
    SubElement(svg, "path", {"d": _steps(heights, bar, 0, height), "class": "bars"})
    return tostring(svg, encoding="unicode")


def _finite(samples: Sequence[float]) -> npt.NDArray[np.float64]:
    """What a histogram can count."""
    values = np.asarray(samples, dtype=np.float64)
    return values[np.isfinite(values)]


def _middle_range(samples: npt.NDArray[np.float64]) -> tuple[float, float]:
    """What a histogram spans: all but the extremes, and never nothing."""
    if not samples.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(samples, [0.5, 99]))
    return (low, high) if high > low else (low * 0.99, high * 1.01 or 1.0)


def strips(latency: Latency, voice: Voice) -> str:
    """A histogram of each round's samples over one common axis, its median marked."""
    lane, left, bar = 22, 64, 6
    width = left + 48 * bar + 12
    samples = [_finite(each.samples_ms) for each in latency.rounds]
    low, high = _middle_range(np.concatenate(samples))
    axis = Scale(low, high, left, width - 12)
    height = lane * len(samples) + 26
    say = Speaker(voice, live=True)
    svg = sheet(width, height, standalone=False)
    say.on(svg, "aria-label", "strip.label", count=str(len(samples)))
    svg.set("class", "chart strip")
    for index, (round_, values) in enumerate(zip(latency.rounds, samples, strict=True)):
        floor = lane * (index + 1)
        say.on(text(svg, left - 8, floor - 4, "label end"), "text", "strip.round", number=str(index + 1))
        counts, _ = np.histogram(np.clip(values, low, high), bins=48, range=(low, high))
        path = _steps(_pixels(counts, lane - 5), bar, left, floor)
        SubElement(svg, "path", {"d": path, "class": "bars" if round_.counts else "bars out"})
        if not math.isfinite(round_.median_ms):
            continue
        at = px(axis(min(max(round_.median_ms, low), high)))
        tick = SubElement(svg, "path", {"d": f"M{at} {floor - lane + 3}V{floor}", "class": "median"})
        SubElement(tick, "title").text = f"{numbers.number(round_.median_ms)} ms"
    say.on(text(svg, left - 8, height - 8, "label end"), "text", "strip.unit")
    for value, label in ticks(axis):
        text(svg, axis(value), height - 8, "label middle", label)
    return tostring(svg, encoding="unicode")


def _pixels(counts: npt.NDArray[np.int64], height: int) -> list[int]:
    """Heights of bars in whole pixels, the tallest ``height``; what was counted at all is at least one high."""
    shares = counts / max(counts.max(), 1)
    return [max(round(float(share) * height), int(share > 0)) for share in shares]


def _steps(heights: Sequence[int], width: int, left: float, floor: float) -> str:
    """The outline of bars. Whole and relative pixels: a report holds it for every round of thousands of cells."""
    rises = [after - before for before, after in pairwise([0, *heights, 0])]
    bars = "".join(f"{f'v{-rise}' if rise else ''}h{width}" for rise in rises[:-1])
    return f"M{px(left)} {px(floor)}{bars}V{px(floor)}Z"
