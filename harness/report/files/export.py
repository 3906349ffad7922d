"""The table of results in the format that a reader's own document or program takes.

CSV and JSON hold raw values, under the names of ``results.csv``; Markdown and LaTeX hold the report's own columns, with
every number as the report prints it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.errors import UsageError, did_you_mean
from harness.report.files import latex
from harness.report.files.data import as_csv, fields
from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.language.markup import literal, shorten
from harness.report.language.untrusted_text import slug
from harness.report.language.voice import Voice
from harness.report.table import summary
from harness.report.table.model import Group, Row, Table, build, zstd_bytes
from harness.results import Results, Status


@dataclass(frozen=True)
class Column:
    """A column for people: what it is headed by, and a row's plain text in it."""

    heading: str  # key of a message
    text: Callable[[Row, Voice], str]
    to_the_right: bool = True


def _name(axis: str) -> Column:
    return Column(f"export.{axis}", lambda row, _: shorten(getattr(row.cell, axis)), to_the_right=False)


def _latency(row: Row, *, cpu: bool) -> str:
    latency = row.cell.latency_ms
    if latency is None or (row.cell.device == "cpu") is not cpu:
        return numbers.DASH
    return numbers.measured(latency.p50, latency.interval)


def _speed(row: Row, say: Voice) -> str:
    words = summary.speed_words(row)
    return say.message(words) if words else numbers.DASH


def _quality(row: Row) -> str:
    quality = row.cell.quality
    if quality is None:
        return numbers.DASH
    return f"{shorten(summary.metric(quality.metric))} {numbers.measured(quality.value, quality.interval)}"


#: The columns of Markdown and LaTeX.
COLUMNS = {
    **{axis: _name(axis) for axis in ("model", "method", "runtime", "device")},
    "workload": Column(
        "export.workload", lambda row, say: shorten(say.workload(row.cell.workload)) or numbers.DASH, False
    ),
    "weights": Column("column.weights", lambda row, _: numbers.megabytes(row.cell.weights_bytes)),
    "zstd": Column("column.zstd", lambda row, _: numbers.megabytes(zstd_bytes(row.cell))),
    "cpu_ms": Column("column.cpu_ms", lambda row, _: _latency(row, cpu=True)),
    "gpu_ms": Column("column.gpu_ms", lambda row, _: _latency(row, cpu=False)),
    "speed": Column("export.speed", _speed),
    "ram": Column("column.ram", lambda row, _: numbers.megabytes(row.cell.ram_bytes)),
    "vram": Column("column.vram", lambda row, _: numbers.megabytes(row.cell.vram_bytes)),
    "quality": Column("column.quality", lambda row, _: _quality(row)),
    "status": Column("column.status", lambda row, say: say(f"status.{row.cell.status}"), False),
}
#: Marked where the outputs left the reference.
LATENCIES = ("cpu_ms", "gpu_ms")
GROUP = ("model", "device", "workload")
USUAL = tuple(name for name in COLUMNS if name not in ("zstd", "speed"))


def export(results: Results, format_: str, models: Sequence[str] = (), columns: Sequence[str] = ()) -> str:
    """The cells of ``models`` (of all, where none is named) as ``csv``, ``json``, ``markdown`` or ``latex``.

    ``columns`` are fields of ``results.csv`` for CSV and JSON, and of ``COLUMNS`` for the others; by default all fields, or
    the usual columns. Raises UsageError for a model or a column that there is not, and where there is no cell at all.
    """
    if not results.cells:
        raise UsageError("the results hold no cell", "measure something first: `harness run`")
    table = build(_only(results, models))
    if format_ in ("csv", "json"):
        known = list(fields(table.rows[0]))
        chosen = _chosen(columns, known, format_) or known
        return as_csv(table, chosen) if format_ == "csv" else _as_json(table, chosen)
    chosen = _chosen(columns, list(COLUMNS), format_)
    say = Voice(results.language, str, str)
    if format_ == "latex":
        return _as_latex(results, table, chosen or [name for name in USUAL if name not in GROUP], say)
    return _as_markdown(table, chosen or USUAL, say)


def _only(results: Results, models: Sequence[str]) -> Results:
    known = list(dict.fromkeys(cell.model for cell in results.cells))
    for model in models:
        if model not in known:
            raise UsageError(f"no cell has the model {model!r}", did_you_mean(model, [shorten(name) for name in known]))
    cells = [cell for cell in results.cells if not models or cell.model in models]
    return results.model_copy(update={"cells": cells})


def _chosen(columns: Sequence[str], known: Sequence[str], format_: str) -> list[str]:
    for column in columns:
        if column not in known:
            raise UsageError(f"{format_} has no column {column!r}", did_you_mean(column, known))
    return list(dict.fromkeys(columns))


def _as_json(table: Table, columns: Sequence[str]) -> str:
    flat = (fields(row) for row in table.rows)
    return json.dumps([{column: cell[column] for column in columns} for cell in flat], indent=1) + "\n"


def _as_markdown(table: Table, columns: Sequence[str], say: Voice) -> str:
    return "\n".join(_markdown_lines(table, columns, say)) + "\n"


def _markdown_lines(table: Table, columns: Sequence[str], say: Voice) -> Iterator[str]:
    yield f"| {' | '.join(literal(say(COLUMNS[name].heading)) for name in columns)} |"
    yield f"| {' | '.join('---:' if COLUMNS[name].to_the_right else '---' for name in columns)} |"
    for row in table.rows:
        yield f"| {' | '.join(_cells(row, columns, say, literal, '~~{}~~'))} |"
    yield from ("", say("markdown.notes"))


def _as_latex(results: Results, table: Table, columns: Sequence[str], say: Voice) -> str:
    """One part a group. The caption says what was measured where, and what the marks mean."""
    origin = {"title": results.title, "date": results.created_at, "cpu": results.environment.cpu}
    caption = say.message(Message("export.caption", {name: shorten(text) for name, text in origin.items()}))
    if any(name in LATENCIES for name in columns) and Status.DIVERGED in table.statuses:
        caption = f"{caption} {say('export.diverged')}"
    parts = [
        latex.Part(
            _latex_heading(group, say),
            [_cells(row, columns, say, latex.escape, r"{}\textdagger{{}}") for row in group.rows],
        )
        for group in table.groups
    ]
    alignment = "".join("r" if COLUMNS[name].to_the_right else "l" for name in columns)
    headings = [latex.escape(say(COLUMNS[name].heading)) for name in columns]
    return latex.tabular(latex.escape(caption), slug(results.title), alignment, headings, parts)


def _latex_heading(group: Group, say: Voice) -> str:
    model, device, workload = (latex.escape(COLUMNS[name].text(group.rows[0], say)) for name in GROUP)
    where = ", ".join([device, workload] if group.workload else [device])
    return rf"\textbf{{{model}}}, {where}"


def _cells(row: Row, columns: Sequence[str], say: Voice, escape: Callable[[str], str], diverged: str) -> list[str]:
    """A row in the markup of ``escape``; ``diverged`` is how it marks a speed that is not worth comparing."""
    marked = LATENCIES if row.cell.status is Status.DIVERGED else ()
    texts = {name: COLUMNS[name].text(row, say) for name in columns}
    return [
        diverged.format(escape(text)) if name in marked and text != numbers.DASH else escape(text)
        for name, text in texts.items()
    ]
