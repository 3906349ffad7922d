"""What the page's script works with: the rows as numbers, and in a large report the packed markup of most of them."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from harness.report.files import latex
from harness.report.language import catalogue, numbers
from harness.report.language.catalogue import Word
from harness.report.language.vocabulary import Vocabulary
from harness.report.table import picks
from harness.report.table.build import is_reference
from harness.report.table.column import TableColumn
from harness.report.table.columns import page_columns, shown_columns
from harness.report.table.model import Group, Row, Table
from harness.results import Cell, Results
from harness.stats import Interval
from harness.untrusted_text import visible

#: Rows up to this number are all in the document; of a longer table it holds the first hundred, the rest is packed.
INLINE, FIRST = 200, 100
CHUNK = 100  # rows whose details are unpacked at once

Values = list[float | None] | None


def page_data(results: Results, table: Table, vocabulary: Vocabulary) -> dict[str, Any]:
    """Groups and rows with raw numbers, what each column is, and every message and word in each language.

    Rows are columns of values. ``values`` are those of the table's columns as they are recorded (sizes in bytes), with an
    interval as ``[value, low, high]``; ``rounds`` are the medians of the rounds that count, ms. What is not finite is null.
    """
    shown: dict[str, Callable[[Row], Any]] = {
        "anchor": lambda row: row.anchor,
        "method": lambda row: visible(row.cell.method),  # as the page's own elements say them
        "runtime": lambda row: visible(row.cell.runtime),
        "status": lambda row: row.cell.status.value,
        "rounds": lambda row: [_short(m) for m in row.cell.latency_ms.medians_ms] if row.cell.latency_ms else [],
        "change": lambda row: _change(row.cell),
        "reference": lambda row: is_reference(row.cell),
    }
    rows = {name: [of(row) for row in table.rows] for name, of in shown.items()}
    rows["group"] = [index for index, group in enumerate(table.groups) for _ in group.rows]
    return {
        "language": results.language,
        "words": {language: catalogue.catalogue(language) for language in catalogue.FORMS},
        "vocabulary": {language: _vocabulary(vocabulary, language) for language in catalogue.FORMS},
        "baseline": visible(f"{results.baseline.get('method', '')} {results.baseline.get('runtime', '')}"),
        "shown": " ".join([*shown_columns(table), "spark"]),
        "columns": [_column(column) for column in page_columns()],
        "loss": f"{100 * picks.QUALITY_LOSS:g}",
        "latex": latex.WRITTEN,
        "inline": INLINE,
        "groups": [_group(group) for group in table.groups],
        "rows": rows,
        "values": {column.key: [_value(column, row.cell) for row in table.rows] for column in page_columns()},
    }


def _column(column: TableColumn) -> dict[str, Any]:
    return {
        "key": column.key,
        "against": column.against,
        "descending": column.descending,
        "data": list(column.data or (column.key,)),
    }


def _vocabulary(vocabulary: Vocabulary, language: str) -> dict[str, str]:
    keys = (key.partition(".") for key in vocabulary.words)
    return {
        visible(f"{kind}.{name}"): visible(vocabulary.text(Word(kind, name), language))
        for kind, _, name in keys
        if kind != "course"
    }


def inline(table: Table) -> int:
    """How many rows the document itself holds."""
    return len(table.rows) if len(table.rows) <= INLINE else FIRST


def pack(rows: Sequence[str], details: Sequence[str], charts: dict[int, dict[str, str]], maps: str) -> str:
    """Markup of a long table, compressed, as one JSON text: what is seen at once, and in chunks the details of its rows.

    ``rows`` and ``details`` are those behind the first ones, ``charts`` by group and cost, ``maps`` those of the coverage.
    """
    chunks = [list(details[at : at + CHUNK]) for at in range(0, len(details), CHUNK)]
    seen = {"rows": list(rows), "charts": charts, "maps": maps}
    return json.dumps({"first": FIRST, "size": CHUNK, "seen": packed(seen), "details": list(map(packed, chunks))})


def as_script(data: Any) -> str:
    """JSON that can stand inside a ``script`` element: no ``<`` that could end it."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def packed(data: Any) -> str:
    """JSON, compressed, as text."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _group(group: Group) -> dict[str, Any]:
    quality = next((row.cell.quality for row in group.rows if row.cell.quality), None)
    return {
        "model": visible(group.model),
        "task": visible(group.task),
        "device": visible(group.device),
        "machine": group.machine and visible(group.machine),
        "workload": dict(group.workload),
        "metric": quality and visible(quality.metric),
        "higher": quality and quality.higher_is_better,
        "original": picks.original_quality(group),
    }


def _value(column: TableColumn, cell: Cell) -> Any:
    value = column.value(cell)
    if value is None or isinstance(value, str):
        return value and visible(value)
    if len(column.data) < 3:
        return _short(value)
    return _with_interval(value, column.interval(cell))


def _change(cell: Cell) -> Values:
    quality = cell.quality
    if quality is None or quality.change is None:
        return None
    return _with_interval(quality.change, quality.change_interval)


def _with_interval(value: float, interval: Interval | None) -> Values:
    if not math.isfinite(value):
        return None
    return [_short(end) for end in (value, *(numbers.finite_interval(interval) or (None, None)))]


def _short(value: float | None) -> float | None:
    """Nine digits: more than any measurement here knows. Null for what is not finite: it can be neither sorted nor compared."""
    if isinstance(value, int):
        return value
    return float(f"{value:.9g}") if value is not None and math.isfinite(value) else None
