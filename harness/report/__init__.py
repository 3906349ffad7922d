"""The report: what a run came to, as a page, as Markdown and as data. Everything is computed from ``Results``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.report.charts.quality import Key
from harness.report.files.data import as_csv, as_json
from harness.report.files.markdown import render_charts, render_markdown
from harness.report.html.report_page import render_html
from harness.report.language.voice import Voice
from harness.report.table.build import build
from harness.report.table.columns import vocabulary
from harness.results import Results

__all__ = ["render"]


def render(results: Results, out: Path, before: Results | None = None) -> list[Path]:
    """Write ``index.html``, ``README.md``, ``results.json``, ``results.csv`` and the charts into the folder ``out``.

    With ``before``, an earlier run, the page shows what changed since. Each file is replaced atomically: a reader, or a killed
    run, never meets half a file. Returns what was written.
    """
    table = build(results)
    key = Key(table.names("method"), table.names("runtime"))
    charts = render_charts(table, key, Voice(results.language, str, str, vocabulary(results)))
    files = {
        "results.csv": as_csv(table),
        **charts,
        "README.md": render_markdown(results, table, list(charts)),
        "index.html": render_html(results, table, before),
        "results.json": as_json(results),  # the last: whoever finds it finds all others as new
    }
    out.mkdir(parents=True, exist_ok=True)
    return [_replace(out / name, text) for name, text in files.items()]


def _replace(path: Path, text: str) -> Path:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
