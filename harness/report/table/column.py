"""What a column of the report is: one entry that feeds the page, its script, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from harness.report.language import numbers
from harness.report.language.catalogue import Message, Word
from harness.report.language.markup import shorten
from harness.report.language.voice import Voice
from harness.report.table.model import Row
from harness.results import Cell, Status
from harness.stats import Interval

Words: TypeAlias = Mapping[str, str]
#: How a row is held against the baseline of its group in small figures below the number: see ``notes.py`` and
#: ``templates/page/notes.js``.
Against = Literal["size", "memory", "speed", "quality"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _none(_: Cell) -> None:
    return None


@dataclass(frozen=True)
class TableColumn:
    """One column. Only ``key``, ``words`` and ``value`` must be given; ``words`` and ``about`` are by language.

    The value is a number, a text, or None where the cell has none: ``reason`` then says why. ``factor`` times the number is
    printed, with ``unit`` in the heading. ``data`` names what CSV and JSON call the value, and the two ends of its interval if
    it has one; ``more`` are further fields of CSV and JSON alone.
    """

    key: str
    words: Words
    value: Callable[[Cell], float | str | None] = _none
    interval: Callable[[Cell], Interval | None] = _none
    unit: Words = field(default_factory=lambda: _NOTHING)
    factor: float = 1.0
    before: Callable[[Cell], Word | None] = _none  # a word before the number, such as its metric
    text: Callable[[Row, Voice], str] | None = None  # for people, on one line, where it is not the value alone
    reason: Callable[[Cell], str | Message | None] = _none
    device: Literal["cpu", "gpu"] | None = None  # whose cells have a value here; the others have it in their own rows
    against: Against | None = None
    about: Words = field(default_factory=lambda: _NOTHING)  # what its question mark on the page tells
    section: str = "missing"  # of the notes on the method: where the question mark leads, ``m-`` and this
    data: tuple[str, ...] = ()
    more: Mapping[str, Callable[[Row], Any]] = field(default_factory=lambda: _NOTHING)
    page: bool = True  # whether the table of the page can show it
    tables: bool = True  # whether Markdown and LaTeX can
    usual: bool = True  # whether those show it unless told otherwise, the table of README.md included
    course: Words = field(default_factory=lambda: _NOTHING)  # its heading in README.md, where that is another one
    course_unit: bool = False  # whether README.md writes the unit behind each number
    to_the_right: bool = True
    descending: bool = False  # whether the first click sorts from high to low
    struck: bool = False  # whether it is marked where the outputs left the reference: comparing it means nothing then

    @property
    def heading(self) -> Word:
        """Its heading on the page and in exports."""
        return Word("column", self.key)

    @property
    def explanation(self) -> Word:
        """What its question mark tells."""
        return Word("about", self.key)

    @property
    def course_heading(self) -> Word:
        """Its heading in README.md."""
        return Word("course", self.key)

    def number(self, cell: Cell) -> float | None:
        """The value where it is a number."""
        value = self.value(cell)
        return None if isinstance(value, str) else value

    def vocabulary(self) -> dict[str, Words]:
        """Its words by the keys of ``heading``, ``explanation`` and ``course_heading``."""
        headings = {
            language: f"{text}, {self.unit[language]}" if self.unit.get(language) else text
            for language, text in self.words.items()
        }
        course = {**headings, **self.course}
        return {self.heading.key: headings, self.explanation.key: self.about, self.course_heading.key: course}


@dataclass(frozen=True)
class Written:
    """A number as people read it: ``before`` 21.6 ``margin``."""

    number: str
    margin: str = ""
    before: Word | None = None

    def line(self, say: Voice) -> str:
        """All of it on one line."""
        before = shorten(say.word(self.before)) if self.before else ""
        return " ".join(part for part in (before, self.number, self.margin) if part)


def written(column: TableColumn, cell: Cell) -> Written | None:
    """The number of a cell in a column; None where it has none, or a text."""
    value, interval = column.number(cell), column.interval(cell)
    if value is None:
        return None
    scaled = column.factor * value
    ends = (column.factor * interval[0], column.factor * interval[1]) if interval else None
    return Written(numbers.number(scaled, ends), numbers.margin(scaled, ends), column.before(cell))


def text(column: TableColumn, row: Row, say: Voice) -> str:
    """What people read of a row in a column, on one line; a dash where there is nothing."""
    if column.text:
        return column.text(row, say) or numbers.DASH
    value = column.value(row.cell)
    if isinstance(value, str):
        return shorten(value) or numbers.DASH
    found = written(column, row.cell)
    return found.line(say) if found else numbers.DASH


def marked(
    column: TableColumn, row: Row, say: Voice, escape: Callable[[str], str], diverged: str, unit: str = ""
) -> str:
    """``text`` in the markup of ``escape``, ``unit`` behind it; ``diverged`` marks what is not worth comparing."""
    plain = text(column, row, say)
    if plain == numbers.DASH:
        return plain
    shown = escape(f"{plain} {unit}" if unit else plain)
    return diverged.format(shown) if column.struck and row.cell.status is Status.DIVERGED else shown
