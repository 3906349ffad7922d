"""``.txt``: plain text in UTF-8, the whole file one row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.datasets._text import text_of


def read(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A row ``text``, as it is written; none of a file without text."""
    if (text := text_of(file)).strip():
        yield file.name, {"text": text}
