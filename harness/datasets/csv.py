"""``.csv``: comma-separated, quoted as RFC 4180 has it, in UTF-8; the first line names the columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.datasets._text import table


def read(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """One row a record; all values are text."""
    return table(file, delimiter=",", quoted=True)
