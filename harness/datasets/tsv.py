"""``.tsv``: separated by tabs, in UTF-8; the first line names the columns. Quotes are text, as IANA's registration has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.datasets._text import table


def read(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """One row a line; all values are text."""
    return table(file, delimiter="\t", quoted=False)
