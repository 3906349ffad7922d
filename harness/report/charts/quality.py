"""Charts as SVG: quality against what a cell costs, and the samples of its rounds.

One drawing serves both outputs: inside the page it takes the page's colours and links to its rows; as a file it carries
its own style and legend. Colours are those of Okabe & Ito 2008 ("Color universal design"), told apart by colour-blind
readers; shape carries the runtime, so that nothing hangs on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import numpy.typing as npt

from harness.report.charts import palette
from harness.report.charts.plot import Box, Scale, front, place_label, px, scale
from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.language.untrusted_text import one_line
from harness.report.language.voice import as_json, said
from harness.report.table import summary
from harness.report.table.model import Group, Row
from harness.results import Latency, Status
from harness.stats import Interval

STYLE = (Path(__file__).parent / "chart.css").read_text("utf-8")

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
    return None if not value else (value * factor, None)


def _latency(row: Row) -> tuple[float, Interval | None] | None:
    latency = row.cell.latency_ms
    return (latency.p50, latency.interval) if latency else None


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
    rows = (row for row in group.measured if row.cell.quality and row.cell.status is Status.OK)
    return [row for row in rows if COSTS[cost].of(row)]


def pareto(group: Group, key: Key, language: str, *, standalone: bool, cost: str = "latency") -> str:
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
    say = _Say(language, live=not standalone)
    svg = _svg(WIDTH, HEIGHT + legend, standalone)
    say.on(svg, "aria-label", "chart.label", model=one_line(group.model), count=str(len(rows)))
    svg.set("role", "img" if standalone else "group")  # a group's links can be reached, an image's cannot
    _axes(svg, x, y)
    right, bottom = FRAME.x + FRAME.width, FRAME.y + FRAME.height
    say.on(_text(svg, right, bottom + 37, "title end"), "text", f"chart.{cost}", device=group.device)
    direction = "chart.quality-up" if higher else "chart.quality-down"
    say.on(_text(svg, 4, FRAME.y - 8, "title"), "text", direction, metric=summary.metric(spots[0].metric))
    beaten = _front(svg, spots, x, y, higher)
    for spot in spots:
        _error_bars(svg, spot, x, y, key)
    for index, spot in enumerate(spots):
        title = one_line(spot.title)
        link = {"href": f"#{spot.row.anchor}", "data-row": spot.row.anchor, "aria-label": title}
        parent = svg if standalone else SubElement(svg, "a", link)
        name = "point dominated" if index in beaten else "point"
        mark = _mark(parent, key.shape(spot.row.cell.runtime), x(spot.x), y(spot.y), 6.0)
        mark.set("class", f"{name} {key.colour(spot.row.cell.method)}")
        SubElement(mark, "title").text = title
    _labels(svg, [spot for i, spot in enumerate(spots) if i not in beaten], spots, x, y)
    if standalone:
        _legend(svg, key, HEIGHT)
    return tostring(svg, encoding="unicode")


def swatch(colour: str, shape: str) -> str:
    """One legend entry's mark, for legends written in HTML."""
    svg = Element("svg", {"viewBox": "0 0 16 16", "class": "swatch", "aria-hidden": "true"})
    _mark(svg, shape, 8, 8, 6.0).set("class", f"point {colour}")
    return tostring(svg, encoding="unicode")


def spark(latency: Latency) -> str:
    """The samples of the rounds that count as one small histogram: whether they have one peak, two, or a long tail."""
    width, height, bar = 60, 16, 3
    samples = np.concatenate([np.asarray(each.samples_ms) for each in latency.rounds if each.counts])
    low, high = _middle_range(samples)
    counts, _ = np.histogram(np.clip(samples, low, high), bins=width // bar, range=(low, high))
    svg = Element("svg", {"viewBox": f"0 0 {width} {height}", "class": "spark", "aria-hidden": "true"})
    heights = _pixels(counts, height - 1)
    SubElement(svg, "path", {"d": _steps(heights, bar, 0, height), "class": "bars"})
    return tostring(svg, encoding="unicode")


def _middle_range(samples: npt.NDArray[np.float64]) -> tuple[float, float]:
    """What a histogram spans: all but the extremes, and never nothing."""
    low, high = (float(value) for value in np.percentile(samples, [0.5, 99]))
    return (low, high) if high > low else (low * 0.99, high * 1.01 or 1.0)


def strips(latency: Latency, language: str) -> str:
    """A histogram of each round's samples over one common axis, its median marked."""
    lane, left, bar = 22, 64, 6
    width = left + 48 * bar + 12
    samples = [np.asarray(each.samples_ms) for each in latency.rounds]
    low, high = _middle_range(np.concatenate(samples))
    axis = Scale(low, high, left, width - 12)
    height = lane * len(samples) + 26
    say = _Say(language, live=True)
    svg = _svg(width, height, standalone=False)
    say.on(svg, "aria-label", "strip.label", count=str(len(samples)))
    svg.set("class", "chart strip")
    for index, (round_, values) in enumerate(zip(latency.rounds, samples, strict=True)):
        floor = lane * (index + 1)
        say.on(_text(svg, left - 8, floor - 4, "label end"), "text", "strip.round", number=str(index + 1))
        counts, _ = np.histogram(np.clip(values, low, high), bins=48, range=(low, high))
        path = _steps(_pixels(counts, lane - 5), bar, left, floor)
        SubElement(svg, "path", {"d": path, "class": "bars" if round_.counts else "bars out"})
        at = px(axis(min(max(round_.median_ms, low), high)))
        tick = SubElement(svg, "path", {"d": f"M{at} {floor - lane + 3}V{floor}", "class": "median"})
        SubElement(tick, "title").text = f"{numbers.number(round_.median_ms)} ms"
    say.on(_text(svg, left - 8, height - 8, "label end"), "text", "strip.unit")
    for value, label in _ticks(axis):
        _text(svg, axis(value), height - 8, "label middle", label)
    return tostring(svg, encoding="unicode")


@dataclass(frozen=True)
class _Say:
    """Writes messages onto elements; ``live``: with what the page needs to say them in its other language."""

    language: str
    live: bool

    def on(self, element: Element, attribute: str, key: str, **arguments: str) -> None:
        """Say a message in an attribute, or as the ``text`` of the element."""
        message = Message(key, arguments)
        if attribute == "text":
            element.text = said(self.language, message)
        else:
            element.set(attribute, said(self.language, message))
        if self.live:
            element.set("data-say-in", as_json({attribute: message}))


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
            quality.interval or (quality.value, quality.value),
            quality.metric,
            quality.higher_is_better,
        )

    @property
    def label(self) -> str:
        name = one_line(self.row.cell.method)
        return name if len(name) <= 22 else name[:21] + "…"

    @property
    def title(self) -> str:
        cell = self.row.cell
        cost = f"{numbers.number(self.x, self.across)} {self.unit} {_bracket(self.x, self.across)}".rstrip()
        quality = f"{summary.metric(self.metric)} {numbers.number(self.y, self.up)} {_bracket(self.y, self.up)}"
        return f"{cell.method} · {cell.runtime}: {cost}, {quality}".rstrip()


def _bracket(value: float, interval: tuple[float, float]) -> str:
    return "" if interval[0] == interval[1] else numbers.bracket(value, interval)


def _svg(width: float, height: float, standalone: bool) -> Element:
    attributes = {"viewBox": f"0 0 {width} {height}", "role": "img", "class": "chart"}
    if not standalone:
        return Element("svg", attributes)
    size = {"width": str(round(width * 1.3)), "height": str(round(height * 1.3))}
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, **attributes})
    SubElement(svg, "style").text = palette.standalone() + STYLE
    SubElement(svg, "rect", {"width": "100%", "height": "100%", "class": "paper"})
    return svg


def _axes(svg: Element, x: Scale, y: Scale) -> None:
    bottom, right = FRAME.y + FRAME.height, FRAME.x + FRAME.width
    for value, label in _ticks(y):
        SubElement(svg, "path", {"d": f"M{px(FRAME.x)} {px(y(value))}H{px(right)}", "class": "grid"})
        _text(svg, FRAME.x - 7, y(value) + 4, "label end", label)
    for value, label in _ticks(x):
        SubElement(svg, "path", {"d": f"M{px(x(value))} {px(FRAME.y)}V{px(bottom)}", "class": "grid"})
        _text(svg, x(value), bottom + 17, "label middle", label)
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
            _text(svg, box.x, box.y + 10.5, "name", spot.label)


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
            mark = _mark(svg, "circle" if method else key.shape(name), column + 6, y, 6.0)
            mark.set("class", f"point {key.colour(name) if method else 'm0'}")
            text = one_line(name)
            _text(svg, column + 20, y + 4, "name", text if len(text) < 26 else text[:25] + "…")


def _mark(parent: Element, shape: str, x: float, y: float, radius: float) -> Element:
    if shape == "circle":
        return SubElement(parent, "circle", {"cx": px(x), "cy": px(y), "r": px(radius)})
    corners = " ".join(f"{px(x + radius * dx)},{px(y + radius * dy)}" for dx, dy in _CORNERS[shape])
    return SubElement(parent, "polygon", {"points": corners})


def _regular(count: int, radius: float, turn: float = -90.0) -> list[tuple[float, float]]:
    angles = (math.radians(turn + 360 / count * index) for index in range(count))
    return [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def _star(points: int, outer: float, inner: float) -> list[tuple[float, float]]:
    corners = zip(_regular(points, outer), _regular(points, inner, -90 + 180 / points), strict=True)
    return [corner for pair in corners for corner in pair]


_ARM = [(-1.0, -1 / 3), (-1 / 3, -1 / 3), (-1 / 3, -1.0)]  # a quarter of a plus sign
_PLUS = [*_ARM, *((-y, x) for x, y in _ARM), *((-x, -y) for x, y in _ARM), *((y, -x) for x, y in _ARM)]

#: Corners of shapes of about equal area, around the origin, for a radius of 1.
_CORNERS = {
    "square": _regular(4, 1.25, -45),
    "triangle": _regular(3, 1.4),
    "diamond": _regular(4, 1.35),
    "drop": _regular(3, 1.4, 90),
    "cross": [(1.2 * x, 1.2 * y) for x, y in _PLUS],
    "hexagon": _regular(6, 1.15),
    "star": _star(5, 1.5, 0.65),
}


def _pixels(counts: npt.NDArray[np.int64], height: int) -> list[int]:
    """Heights of bars in whole pixels, the tallest ``height``; what was counted at all is at least one high."""
    shares = counts / max(counts.max(), 1)
    return [max(round(float(share) * height), int(share > 0)) for share in shares]


def _steps(heights: Sequence[int], width: int, left: float, floor: float) -> str:
    """The outline of bars. Whole and relative pixels: a report holds it for every round of thousands of cells."""
    rises = [after - before for before, after in pairwise([0, *heights, 0])]
    bars = "".join(f"{f'v{-rise}' if rise else ''}h{width}" for rise in rises[:-1])
    return f"M{px(left)} {px(floor)}{bars}V{px(floor)}Z"


def _text(svg: Element, x: float, y: float, classes: str, text: str = "") -> Element:
    element = SubElement(svg, "text", {"x": px(x), "y": px(y), "class": classes})
    element.text = text
    return element


def _ticks(axis: Scale) -> list[tuple[float, str]]:
    """Ticks with their labels: on a linear axis all with the same decimals."""
    values = axis.ticks()
    places = [len(f"{value:.10f}".rstrip("0").partition(".")[2]) for value in values]
    shared = max(places, default=0)
    return [(at, numbers.fixed(at, own if axis.log else shared)) for at, own in zip(values, places, strict=True)]
