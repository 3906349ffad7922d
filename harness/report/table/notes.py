"""The small figures below a row's numbers: how they stand against the baseline of the row's group.

``templates/page/notes.js`` says the same against a baseline that the reader picks; a browser test holds both together.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.language.phrases import quality_word, ratio_words, speed_words
from harness.report.table.column import Against, TableColumn
from harness.report.table.model import Row, size_ratio
from harness.stats import Verdict

#: The words for a ratio above 1, and for one below.
RATIOS: dict[Against, tuple[str, str]] = {"size": ("smaller", "larger"), "memory": ("less", "more")}
_TONES = {Verdict.FASTER: "good", Verdict.SLOWER: "bad"}


@dataclass(frozen=True)
class Note:
    """A plain text, a message, or both; ``tone`` is ``good``, ``bad`` or empty: only what an interval shows is coloured."""

    text: str = ""
    message: Message | None = None
    tone: str = ""


def note(column: TableColumn, row: Row) -> Note | None:
    """What stands below a row's number in a column; None where nothing can be said."""
    if column.against is None or row.against is None or column.value(row.cell) is None:
        return None
    if column.against == "speed":
        words = speed_words(row.speed, row.verdict)
        return Note(message=words, tone=_TONES.get(row.verdict or Verdict.TIE, "")) if words else None
    if column.against == "quality":
        return _quality(row)
    ratio = size_ratio(column.number(row.against), column.number(row.cell))
    words = ratio_words(ratio, *RATIOS[column.against])
    return Note(message=words) if words else None


def _quality(row: Row) -> Note | None:
    found = row.quality
    if found is None:
        return None
    text = numbers.difference(found.value, found.interval)
    if found.better is None:
        return Note(text)
    word = Message.of(f"quality.{quality_word(found.interval, found.better)}")
    return Note(text, word, "good" if found.better else "bad")
