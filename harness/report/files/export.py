"""The table of results in the format that a reader's own document or program takes.

CSV and JSON hold raw values, under the names of ``results.csv``; Markdown and LaTeX hold the report's own columns, with
every number as the report prints it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from harness.errors import UsageError, did_you_mean
from harness.report.files import latex
from harness.report.files.data import as_csv, fields
from harness.report.language.catalogue import Message, Word
from harness.report.language.markup import literal, shorten
from harness.report.language.voice import Voice
from harness.report.table import columns as columns_of_report
from harness.report.table.build import build
from harness.report.table.column import TableColumn, marked
from harness.report.table.machines import measuring
from harness.report.table.model import Group, Table
from harness.results import Results, Status
from harness.untrusted_text import slug


def export(results: Results, format_: str, models: Sequence[str] = (), columns: Sequence[str] = ()) -> str:
    """The cells of ``models`` (of all, where none is named) as ``csv``, ``json``, ``markdown`` or ``latex``.

    ``columns`` are fields of ``results.csv`` for CSV and JSON, and keys of ``table/columns.py`` for the others; by default all
    fields, or the usual columns. Raises UsageError for a model or a column that is not there, and where there is no cell.
    """
    if not results.cells:
        raise UsageError("the results hold no cell", "measure something first: `harness run`")
    table = build(_only(results, models))
    if format_ in ("csv", "json"):
        known = list(fields(table.rows[0]))
        chosen = _chosen(columns, known, format_) or known
        return as_csv(table, chosen) if format_ == "csv" else _as_json(table, chosen)
    known_columns = columns_of_report.table_columns()
    usual = columns_of_report.usual_columns(table)
    asked = _chosen(columns, list(known_columns), format_)
    say = Voice(results.language, str, str, columns_of_report.vocabulary(results))
    if format_ == "latex":
        names = asked or [name for name in usual if name not in columns_of_report.GROUP]
        return _as_latex(results, table, [known_columns[name] for name in names], say)
    return _as_markdown(table, [known_columns[name] for name in asked or usual], say)


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


def _as_markdown(table: Table, columns: Sequence[TableColumn], say: Voice) -> str:
    return "\n".join(_markdown_lines(table, columns, say)) + "\n"


def _markdown_lines(table: Table, columns: Sequence[TableColumn], say: Voice) -> Iterator[str]:
    yield f"| {' | '.join(literal(say.word(column.heading)) for column in columns)} |"
    yield f"| {' | '.join('---:' if column.to_the_right else '---' for column in columns)} |"
    for row in table.rows:
        yield f"| {' | '.join(marked(column, row, say, literal, '~~{}~~') for column in columns)} |"
    yield from ("", say("markdown.notes"))


def _as_latex(results: Results, table: Table, columns: Sequence[TableColumn], say: Voice) -> str:
    """One part a group. The caption says what was measured where, and what the marks mean."""
    cpus = ", ".join(dict.fromkeys(machine.cpu for machine in measuring(results)))
    origin = {"title": results.title, "date": results.created_at, "cpu": cpus}
    caption = say.message(Message("export.caption", {name: shorten(text) for name, text in origin.items()}))
    if any(column.struck for column in columns) and Status.DIVERGED in table.statuses:
        caption = " ".join([caption, say("export.diverged")])
    parts = [
        latex.Part(
            _latex_heading(group, table, say),
            [
                [marked(column, row, say, latex.escape, r"{}\textdagger{{}}") for column in columns]
                for row in group.rows
            ],
        )
        for group in table.groups
    ]
    alignment = "".join("r" if column.to_the_right else "l" for column in columns)
    headings = [latex.escape(say.word(column.heading)) for column in columns]
    return latex.tabular(latex.escape(caption), slug(results.title), alignment, headings, parts)


def _latex_heading(group: Group, table: Table, say: Voice) -> str:
    workload, machine = say.workload(group.workload), ""
    if group.machine and len(table.machines) > 1:
        machine = say.word(Word("machine", group.machine))
    where = ", ".join(latex.escape(shorten(part)) for part in (group.device, workload, machine) if part)
    return rf"\textbf{{{latex.escape(shorten(group.model))}}}, {where}"
