"""A latency over the runs of a site, as a small SVG without a script: it takes the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, tostring

from harness.report.charts.plot import Scale, px, scale
from harness.stats import Interval

WIDTH, HEIGHT, MARGIN = 160.0, 36.0, 5.0
#: The height spans at least the middle ± this share of it: a wobble within the noise shall look like one.
LEAST_SPAN = 0.1


@dataclass(frozen=True)
class Point:
    """A cell in a run that can be compared with the others. ``run`` is its position, counted from the oldest."""

    run: int
    host: str
    value: float
    interval: Interval | None
    title: str

    @property
    def span(self) -> Interval:
        """The interval, or the bare value where there is none."""
        return self.interval or (self.value, self.value)


def sparkline(points: Sequence[Point], hosts: Sequence[str], label: str) -> str | None:
    """Points with their intervals over all runs, oldest first, each with its machine; None where there is no point.

    The line joins neighbours of one machine: it is broken by a run without a point, and by another machine, where a dashed
    rule stands besides.
    """
    if not points:
        return None
    across = Scale(0, max(len(hosts) - 1, 1), MARGIN, WIDTH - MARGIN)
    up = _upwards([end for point in points for end in point.span])
    svg = Element("svg", {"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "class": "sparkline", "role": "img"})
    svg.set("aria-label", label)
    for index, (one, other) in enumerate(pairwise(hosts)):
        if one != other:
            SubElement(svg, "path", {"d": f"M{px(across(index + 0.5))} 0V{HEIGHT:g}", "class": "border"})
    if path := _line(points, across, up):
        SubElement(svg, "path", {"d": path, "class": "line"})
    for point in points:
        x, (low, high) = px(across(point.run)), (px(up(end)) for end in point.span)
        SubElement(svg, "path", {"d": f"M{x} {low}V{high}", "class": "range"})
        classes = "dot newest" if point.run == len(hosts) - 1 else "dot"
        dot = SubElement(svg, "circle", {"cx": x, "cy": px(up(point.value)), "r": "2", "class": classes})
        SubElement(dot, "title").text = point.title
    return tostring(svg, encoding="unicode")


def _upwards(values: Sequence[float]) -> Scale:
    middle = (min(values) + max(values)) / 2
    least = ((1 - LEAST_SPAN) * middle, (1 + LEAST_SPAN) * middle)
    return scale([*values, *least], HEIGHT - MARGIN, MARGIN, padding=0)


def _line(points: Sequence[Point], across: Scale, up: Scale) -> str:
    path = ""
    for one, other in pairwise(points):
        if other.run == one.run + 1 and other.host == one.host:
            start, end = (f"{px(across(point.run))} {px(up(point.value))}" for point in (one, other))
            path += f"L{end}" if path.endswith(start) else f"M{start}L{end}"
    return path
