"""Charts as SVG: quality against what a cell costs.

One drawing serves both outputs: inside the page it takes the page's colours and links to its rows; as a file it carries
its own style and legend. Colours are those of Okabe & Ito 2008 ("Color universal design"), told apart by colour-blind
readers; shape carries the runtime, so that nothing hangs on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, tostring

from harness.report.charts import marks
from harness.report.charts.marks import Speaker, sheet, text, ticks
from harness.report.charts.plot import Box, Scale, front, place_label, px, scale
from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.language.voice import Voice, as_json
from harness.report.table import summary
from harness.report.table.model import Group, Row
from harness.results import Status
from harness.stats import Interval
from harness.untrusted_text import one_line, visible

#: Classes ``m0`` to ``m7`` of ``chart.css``: what is not changed in neutral, the rest in Okabe and Ito's order. Methods beyond
#: them take the colours again with the next of the fills ``f0`` (solid), ``f1`` (hollow) and ``f2`` (ringed).
COLOURS = 8
FILLS = 3
SHAPES = ("circle", "square", "triangle", "diamond", "drop", "cross", "hexagon", "star")

WIDTH, HEIGHT = 400, 310
FRAME = Box(46, 20, WIDTH - 46 - 12, HEIGHT - 20 - 44)


@dataclass(frozen=True)
class Key:
    """What colour and shape stand for, the same in all charts of a report."""

    methods: tuple[str, ...]
    runtimes: tuple[str, ...]

    def colour(self, method: str) -> str:
        """The CSS classes of a method."""
        index = self.methods.index(method)
        return f"m{index % COLOURS} f{index // COLOURS % FILLS}"

    def shape(self, runtime: str) -> str:
        """The shape of a runtime."""
        return SHAPES[self.runtimes.index(runtime) % len(SHAPES)]


@dataclass(frozen=True)
class Cost:
    """What quality can be drawn against: the value of a row with its 95 % interval, or None."""

    unit: str
    of: Callable[[Row], tuple[float, Interval | None] | None]


def _scaled(value: float | None, factor: float) -> tuple[float, None] | None:
    return (value * factor, None) if value and math.isfinite(value) else None


def _latency(row: Row) -> tuple[float, Interval | None] | None:
    latency = row.cell.latency_ms
    return (latency.p50, numbers.finite_interval(latency.interval)) if latency else None


#: Name -> cost, in the order in which a reader may choose. Megabytes are 10**6 bytes.
COSTS = {
    "latency": Cost("ms", _latency),
    "weights": Cost("MB", lambda row: _scaled(row.cell.weights_bytes, 1e-6)),
    "ram": Cost("MB", lambda row: _scaled(row.cell.ram_bytes, 1e-6)),
    "vram": Cost("MB", lambda row: _scaled(row.cell.vram_bytes, 1e-6)),
    "energy": Cost("J", lambda row: _scaled(row.cell.energy_j, 1.0)),
}


def plotted(group: Group, cost: str = "latency") -> list[Row]:
    """The rows that a chart can show: with quality and the cost, outputs as the reference's."""
    rows = (row for row in group.measured if row.scored and row.cell.status is Status.OK)
    return [row for row in rows if COSTS[cost].of(row)]


def pareto(group: Group, key: Key, voice: Voice, *, standalone: bool, cost: str = "latency") -> str:
    """Quality against a cost of a group's rows with 95 % error bars and the front of what no other row beats.

    Inside the page (not ``standalone``) points link to their rows and words can be said in the page's other language.
    """
    rows = plotted(group, cost)
    spots = [_Spot.of(row, COSTS[cost]) for row in rows]
    higher = spots[0].higher
    x = scale([v for spot in spots for v in spot.across], FRAME.x, FRAME.x + FRAME.width)
    ends = (FRAME.y + FRAME.height, FRAME.y)
    y = scale([v for spot in spots for v in spot.up], *(ends if higher else ends[::-1]))
    legend = _legend_height(key) if standalone else 0
    say = Speaker(voice, live=not standalone)
    svg = sheet(WIDTH, HEIGHT + legend, standalone)
    say.on(svg, "aria-label", "chart.label", model=one_line(group.model), count=str(len(rows)))
    svg.set("role", "img" if standalone else "group")  # a group's links can be reached, an image's cannot
    _axes(svg, x, y)
    right, bottom = FRAME.x + FRAME.width, FRAME.y + FRAME.height
    say.on(text(svg, right, bottom + 37, "title end"), "text", f"chart.{cost}", device=group.device)
    direction = "chart.quality-up" if higher else "chart.quality-down"
    say.on(text(svg, 4, FRAME.y - 8, "title"), "text", direction, metric=summary.metric(spots[0].metric))
    beaten = _front(svg, spots, x, y, higher)
    for spot in spots:
        _error_bars(svg, spot, x, y, key)
    for index, spot in enumerate(spots):
        title = visible(voice.text(spot.title))
        link = {"href": f"#{spot.row.anchor}", "data-row": spot.row.anchor, "aria-label": title}
        link["data-say-in"] = as_json({"aria-label": spot.title})
        parent = svg if standalone else SubElement(svg, "a", link)
        name = "point dominated" if index in beaten else "point"
        mark = marks.shape(parent, key.shape(spot.row.cell.runtime), x(spot.x), y(spot.y), 6.0)
        mark.set("class", f"{name} {key.colour(spot.row.cell.method)}")
        SubElement(mark, "title").text = title
    _labels(svg, [spot for i, spot in enumerate(spots) if i not in beaten], spots, x, y)
    if standalone:
        _legend(svg, key, HEIGHT)
    return tostring(svg, encoding="unicode")


def swatch(colour: str, shape: str) -> str:
    """One legend entry's mark, for legends written in HTML."""
    svg = Element("svg", {"viewBox": "0 0 16 16", "class": "swatch", "aria-hidden": "true"})
    marks.shape(svg, shape, 8, 8, 6.0).set("class", f"point {colour}")
    return tostring(svg, encoding="unicode")


@dataclass(frozen=True)
class _Spot:
    """One row as a point with its intervals."""

    row: Row
    unit: str
    x: float
    y: float
    across: tuple[float, float]
    up: tuple[float, float]
    metric: str
    higher: bool

    @classmethod
    def of(cls, row: Row, cost: Cost) -> _Spot:
        known, quality = cost.of(row), row.cell.quality
        assert known is not None
        assert quality is not None
        value, interval = known
        return cls(
            row,
            cost.unit,
            value,
            quality.value,
            interval or (value, value),
            numbers.finite_interval(quality.interval) or (quality.value, quality.value),
            quality.metric,
            quality.higher_is_better,
        )

    @property
    def label(self) -> str:
        name = one_line(self.row.cell.method)
        return name if len(name) <= 22 else name[:21] + "…"

    @property
    def title(self) -> Message:
        cell = self.row.cell
        cost = f"{numbers.number(self.x, self.across)} {self.unit} {_bracket(self.x, self.across)}".rstrip()
        quality = f"{numbers.number(self.y, self.up)} {_bracket(self.y, self.up)}".rstrip()
        name = one_line(f"{cell.method} · {cell.runtime}")
        return Message.of("chart.point", name=name, cost=cost, metric=summary.metric(self.metric), quality=quality)


def _bracket(value: float, interval: tuple[float, float]) -> str:
    return "" if interval[0] == interval[1] else numbers.bracket(value, interval)


def _axes(svg: Element, x: Scale, y: Scale) -> None:
    bottom, right = FRAME.y + FRAME.height, FRAME.x + FRAME.width
    for value, label in ticks(y):
        SubElement(svg, "path", {"d": f"M{px(FRAME.x)} {px(y(value))}H{px(right)}", "class": "grid"})
        text(svg, FRAME.x - 7, y(value) + 4, "label end", label)
    for value, label in ticks(x):
        SubElement(svg, "path", {"d": f"M{px(x(value))} {px(FRAME.y)}V{px(bottom)}", "class": "grid"})
        text(svg, x(value), bottom + 17, "label middle", label)
    SubElement(svg, "path", {"d": f"M{px(FRAME.x)} {px(FRAME.y)}V{px(bottom)}H{px(right)}", "class": "axis"})


def _front(svg: Element, spots: Sequence[_Spot], x: Scale, y: Scale, higher: bool) -> set[int]:
    """Draw the front as steps; return the indices of what it beats."""
    kept = front([(spot.x, spot.y) for spot in spots], higher)
    path = ""
    for spot in (spots[index] for index in kept):
        path += f"H{px(x(spot.x))}V{px(y(spot.y))}" if path else f"M{px(x(spot.x))} {px(y(spot.y))}"
    SubElement(svg, "path", {"d": f"{path}H{px(FRAME.x + FRAME.width)}", "class": "front"})
    return set(range(len(spots))) - set(kept)


def _error_bars(svg: Element, spot: _Spot, x: Scale, y: Scale, key: Key) -> None:
    left, right = (px(x(v)) for v in spot.across)
    low, high = (px(y(v)) for v in spot.up)
    path = f"M{left} {px(y(spot.y))}H{right}M{px(x(spot.x))} {low}V{high}"
    SubElement(svg, "path", {"d": path, "class": f"error {key.colour(spot.row.cell.method)}"})


def _labels(svg: Element, named: Sequence[_Spot], spots: Sequence[_Spot], x: Scale, y: Scale) -> None:
    taken = [Box(x(spot.x) - 7, y(spot.y) - 7, 14, 14) for spot in spots]
    taken += _front_boxes(sorted(named, key=lambda spot: spot.x), x, y)
    for spot in named:
        width = 6.3 * len(spot.label) + 2
        box = place_label(width, 13, (x(spot.x), y(spot.y)), taken, FRAME, gap=11)
        if box:
            taken.append(box)
            text(svg, box.x, box.y + 10.5, "name", spot.label)


def _front_boxes(kept: Sequence[_Spot], x: Scale, y: Scale) -> list[Box]:
    """The front's steps as thin boxes, so that no label is written over them."""
    ends = [x(spot.x) for spot in kept[1:]] + [FRAME.x + FRAME.width]
    flat = [Box(x(spot.x), y(spot.y) - 1, end - x(spot.x), 2) for spot, end in zip(kept, ends, strict=True)]
    pairs = pairwise(kept)
    return flat + [Box(x(b.x) - 1, min(y(a.y), y(b.y)), 2, abs(y(a.y) - y(b.y))) for a, b in pairs]


def _legend_height(key: Key) -> int:
    return 20 * (max(len(key.methods), len(key.runtimes))) + 12


def _legend(svg: Element, key: Key, top: float) -> None:
    for column, names in ((FRAME.x, key.methods), (FRAME.x + FRAME.width / 2, key.runtimes)):
        for index, name in enumerate(names):
            y = top + 12 + 20 * index
            method = names is key.methods
            mark = marks.shape(svg, "circle" if method else key.shape(name), column + 6, y, 6.0)
            mark.set("class", f"point {key.colour(name) if method else 'm0'}")
            line = one_line(name)
            text(svg, column + 20, y + 4, "name", line if len(line) < 26 else line[:25] + "…")
