"""Strings from outside (names, reasons, logs) made safe to show: nothing hides or moves what stands near it."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime

#: Control, format and surrogate characters: they hide, reorder or break text. Joiners stay.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_NOT_XML = {"\ufffe", "\uffff"}  # nor can an SVG or a feed hold these
_KEPT = {"\n", "\t", "\u00ad", "\u200c", "\u200d"}


def visible(text: str) -> str:
    """``text`` with every control and direction mark written out, such as ``\\u202e``; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(_written(c) if _hides(c) else c for c in text)


def visible_json(text: str) -> str:
    """The same for JSON: it holds the same values, and what hides stands in it as an escape."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(json.dumps(c)[1:-1] if _hides(c) and c != "\x7f" else c for c in text).replace("\x7f", "\\u007f")


def without_controls(text: str) -> str:
    """``text`` for data: what moves a cursor is written out, but for line breaks and tabs; all else stays as it is."""
    if text.isprintable():
        return text
    return "".join(_written(c) if unicodedata.category(c) == "Cc" and c not in _KEPT else c for c in text)


def _written(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _hides(character: str) -> bool:
    unsafe = unicodedata.category(character) in _UNSAFE and character not in _KEPT
    return unsafe or character in _NOT_XML


def one_line(text: str) -> str:
    """``visible`` text with all white space folded to single spaces."""
    return " ".join(visible(text).split())


def moment(text: str) -> datetime | None:
    """The UTC of a time in ISO 8601, which is UTC where it names no zone; None where it is no time."""
    try:
        when = datetime.fromisoformat(text)
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def date(text: str) -> str:
    """A time of a record as people read it, such as ``2026-11-24 23:35 UTC``; what is no time stays as it is."""
    when = moment(text)
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else text


def slug(text: str) -> str:
    """A name for files and anchors: ASCII letters, digits, dots and hyphens, at most 80 characters."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:80] or "unnamed"
