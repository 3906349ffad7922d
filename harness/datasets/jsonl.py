"""``.jsonl``: an object a line in UTF-8; its fields are the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.contracts.artifact import ConversionError
from harness.datasets._text import lines_of


def read(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """One row a line; empty lines are passed over."""
    for number, line in lines_of(file):
        if not line.strip():
            continue
        place = f"{file.name}, line {number}"
        try:
            row = json.loads(line, parse_constant=_refuse)
            if "\\u" in line:  # half a pair of surrogates is no text
                json.dumps(row, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError) as mistake:
            raise ConversionError(f"{place}: {mistake}") from None
        if not isinstance(row, dict):
            raise ConversionError(f"{place}: expected an object, found {line.strip()[:40]!r}")
        yield place, row


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
