"""``.jsonl``: an object a line in UTF-8; its fields are the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.contracts.artifact import ConversionError
from harness.datasets._text import text_of


def read(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """One row a line; empty lines are passed over."""
    for number, line in enumerate(text_of(file).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{file.name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as mistake:
            raise ConversionError(f"{place}: {mistake}") from None
        if not isinstance(row, dict):
            raise ConversionError(f"{place}: expected an object, found {line.strip()[:40]!r}")
        yield place, row
