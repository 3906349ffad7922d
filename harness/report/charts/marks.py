"""The strokes that all charts share: the sheet, texts that can be said in another language, shapes, ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from harness.report.charts import palette
from harness.report.charts.plot import Scale, px
from harness.report.language import numbers
from harness.report.language.catalogue import Message, Word
from harness.report.language.voice import Voice, as_json

STYLE = (Path(__file__).parent / "chart.css").read_text("utf-8")


@dataclass(frozen=True)
class Speaker:
    """Writes messages onto elements; ``live``: with what the page needs to say them in its other language."""

    voice: Voice
    live: bool

    def on(self, element: Element, attribute: str, key: str, **arguments: str | Word) -> None:
        """Say a message in an attribute, or as the ``text`` of the element."""
        message = Message(key, arguments)
        if attribute == "text":
            element.text = self.voice.text(message)
        else:
            element.set(attribute, self.voice.text(message))
        if self.live:
            element.set("data-say-in", as_json({attribute: message}))


def sheet(width: float, height: float, standalone: bool) -> Element:
    """An empty drawing; a ``standalone`` one carries its own size, colours and paper."""
    attributes = {"viewBox": f"0 0 {width} {height}", "role": "img", "class": "chart"}
    if not standalone:
        return Element("svg", attributes)
    size = {"width": str(round(width * 1.3)), "height": str(round(height * 1.3))}
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, **attributes})
    SubElement(svg, "style").text = palette.standalone() + STYLE
    SubElement(svg, "rect", {"width": "100%", "height": "100%", "class": "paper"})
    return svg


def shape(parent: Element, name: str, x: float, y: float, radius: float) -> Element:
    """A mark of the name ``circle`` or one of the other shapes, around a point."""
    if name == "circle":
        return SubElement(parent, "circle", {"cx": px(x), "cy": px(y), "r": px(radius)})
    corners = " ".join(f"{px(x + radius * dx)},{px(y + radius * dy)}" for dx, dy in _CORNERS[name])
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


def text(svg: Element, x: float, y: float, classes: str, content: str = "") -> Element:
    """A text at a point."""
    element = SubElement(svg, "text", {"x": px(x), "y": px(y), "class": classes})
    element.text = content
    return element


def ticks(axis: Scale) -> list[tuple[float, str]]:
    """Ticks with their labels: on a linear axis all with the same decimals."""
    values = axis.ticks()
    places = [len(f"{value:.10f}".rstrip("0").partition(".")[2]) for value in values]
    shared = max(places, default=0)
    return [(at, numbers.fixed(at, own if axis.log else shared)) for at, own in zip(values, places, strict=True)]
