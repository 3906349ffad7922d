"""The report: what a run came to, as a page, as Markdown and as data. Everything is computed from ``Results``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.report.charts.quality import Key
from harness.report.files.data import as_csv, as_json
from harness.report.files.markdown import render_charts, render_markdown
from harness.report.files.replacing import replace
from harness.report.html.report_page import render_html
from harness.report.language.voice import Voice
from harness.report.table.build import build
from harness.report.table.columns import vocabulary
from harness.results import Results

__all__ = ["render"]


def render(results: Results, out: Path, before: Results | None = None) -> list[Path]:
    """Write ``index.html``, ``README.md``, ``results.json``, ``results.csv`` and the charts into the folder ``out``.

    With ``before``, an earlier run, the page shows what changed since. Returns what was written.

    Raises EnvironmentProblem where the disk refuses a file; then all are what they were.
    """
    return replace(out, _files(results, before))


def _files(results: Results, before: Results | None) -> Iterator[tuple[str, str]]:
    yield "results.json", as_json(results)  # the first to be written, and the last to take its place
    table = build(results)
    yield "results.csv", as_csv(table)
    key = Key(table.names("method"), table.names("runtime"))
    charts = render_charts(table, key, Voice(results.language, str, str, vocabulary(results)))
    yield from charts.items()
    yield "README.md", render_markdown(results, table, list(charts))
    yield "index.html", render_html(results, table, before)
