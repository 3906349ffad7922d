"""The run as data files: JSON with everything, CSV with one flat line a cell."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import Any

from harness.report.table.columns import data
from harness.report.table.model import Row, Table
from harness.results import Results
from harness.untrusted_text import visible_json, without_controls

#: A list of nothing but numbers, over several lines. Inside JSON strings a line break is always escaped, so none is touched.
_NUMBERS = re.compile(r"\[\n(?:[\d\s.,eE+-]|\"(?:NaN|-?Infinity)\")+\]")
#: What a spreadsheet takes for the beginning of a formula, also behind blanks and in the full width of East Asian fonts.
_BLANK = r"[\s\u00ad\u200b-\u200d\u2060\ufeff]*"
#: A semicolon or a tab separates fields too, where a country's settings say so.
_FORMULA = re.compile(rf"(^|[;\t\n]{_BLANK})(?={_BLANK}[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])")


def as_json(results: Results) -> str:
    """The whole record, lists of numbers on one line each; ``harness.results.json_schema()`` describes it."""
    return _NUMBERS.sub(lambda found: "".join(found[0].split()), visible_json(results.model_dump_json(indent=1))) + "\n"


def as_csv(table: Table, columns: Sequence[str] | None = None) -> str:
    """One line a cell with all its fields, or only ``columns``; what was not measured is empty. RFC 4180."""
    lines = [{column: _inert(value) for column, value in fields(row).items()} for row in table.rows]
    names = columns or (list(lines[0]) if lines else ["id"])
    out = io.StringIO()
    writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def fields(row: Row) -> dict[str, Any]:
    """A cell's values on one level, units in the names of columns; what was not measured is None.

    A number that is not finite is written as in ``results.json``: ``NaN``, ``Infinity``, ``-Infinity``.
    """
    return {name: _written(value) for name, value in data(row).items()}


def _written(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _inert(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe (OWASP, CSV injection); controls are written out."""
    if not isinstance(value, str) or value == "-Infinity":
        return value
    return without_controls(_FORMULA.sub(r"\1'", value))
