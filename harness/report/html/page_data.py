"""What the page's script works with: the rows as numbers, and in a large report the packed markup of most of them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

from harness.report.files import latex
from harness.report.language import catalogue as messages
from harness.report.language.untrusted_text import visible
from harness.report.table import picks, summary
from harness.report.table.model import COLUMNS, Group, Row, Table, is_reference, zstd_bytes
from harness.results import Results

#: Rows up to this number are all in the document; of a longer table it holds the first hundred, the rest is packed.
INLINE, FIRST = 200, 100
CHUNK = 100  # rows whose details are unpacked at once

Values = list[float | None] | None


def page_data(results: Results, table: Table) -> dict[str, Any]:
    """Groups and rows with raw numbers, and every message in each language.

    Rows are columns of values. Values with an interval are ``[value, low, high]``, of a latency in ms; sizes are bytes,
    energies joules. ``rounds`` are the medians of the rounds that count, ms.
    """
    at = {group.name: index for index, group in enumerate(table.groups)}
    columns: dict[str, Callable[[Row], Any]] = {
        "anchor": lambda row: row.anchor,
        "method": lambda row: visible(row.cell.method),  # as the page's own elements say them
        "runtime": lambda row: visible(row.cell.runtime),
        "status": lambda row: row.cell.status.value,
        "weights": lambda row: row.cell.weights_bytes,
        "zstd": lambda row: zstd_bytes(row.cell),
        "latency": _latency,
        "rounds": lambda row: [_short(m) for m in row.cell.latency_ms.medians_ms] if row.cell.latency_ms else [],
        "ram": lambda row: row.cell.ram_bytes,
        "vram": lambda row: row.cell.vram_bytes,
        "energy": lambda row: row.cell.energy_j,
        "quality": _quality,
        "change": _change,
        "reference": lambda row: is_reference(row.cell),
    }
    rows: dict[str, list[Any]] = {"group": [at[group.name] for group in table.groups for _ in group.rows]}
    rows |= {name: [of(row) for row in table.rows] for name, of in columns.items()}
    return {
        "language": results.language,
        "words": {language: messages.catalogue(language) for language in messages.FORMS},
        "baseline": visible(f"{results.baseline.get('method', '')} {results.baseline.get('runtime', '')}"),
        "columns": " ".join(shown_columns(table)),
        "loss": f"{100 * picks.QUALITY_LOSS:g}",
        "latex": latex.WRITTEN,
        "inline": INLINE,
        "groups": [_group(group) for group in table.groups],
        "rows": rows,
    }


def shown_columns(table: Table) -> list[str]:
    """The columns of the first glance: those in which any row has a value, and the samples' shape."""
    used = [column for column in COLUMNS if any(row.measured and column not in row.missing for row in table.rows)]
    return [*used, "spark"]


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
        "device": visible(group.device),
        "workload": dict(group.workload),
        "metric": quality and quality.metric,
        "metricName": quality and summary.metric(quality.metric),
        "higher": quality and quality.higher_is_better,
        "original": picks.original_quality(group),
    }


def _latency(row: Row) -> Values:
    latency = row.cell.latency_ms
    return _with_interval(latency.p50, latency.interval) if latency else None


def _quality(row: Row) -> Values:
    quality = row.cell.quality
    return _with_interval(quality.value, quality.interval) if quality else None


def _change(row: Row) -> Values:
    quality = row.cell.quality
    if quality is None or quality.change is None:
        return None
    return _with_interval(quality.change, quality.change_interval)


def _with_interval(value: float, interval: tuple[float, float] | None) -> list[float | None]:
    return [_short(end) for end in (value, *(interval or (None, None)))]


def _short(value: float | None) -> float | None:
    """Nine digits: more than any measurement here knows."""
    return None if value is None else float(f"{value:.9g}")
