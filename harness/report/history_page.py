"""The history of a site as one HTML file: no network and no script, every string from outside escaped."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report import palette
from harness.report.compare import THRESHOLD
from harness.report.history import History
from harness.report.html import FAILED, GLYPHS
from harness.report.text import one_line, visible
from harness.report.trends import percent, told, trends
from harness.report.words import Voice
from harness.results import Results, Status

TEMPLATES = Path(__file__).parent / "templates"


def render_history(history: History) -> str:
    """The page in the language of the newest results."""
    say = Voice(history.newest.results.language, str, str)  # plain text: the template escapes all that it prints
    style = "\n".join(
        [palette.page(), *((TEMPLATES / name).read_text("utf-8") for name in ("style.css", "history.css"))]
    )
    runs = [
        {"run": run, "statuses": _statuses(run.results), "told": told(found, say)}
        for run, found in zip(history.runs, history.comparisons, strict=True)
    ]
    return (
        _environment()
        .get_template("history.html.jinja")
        .render(
            title=history.newest.results.title,
            language=history.newest.results.language,
            say=say,
            runs=runs,
            groups=trends(history, say),
            threshold=percent(THRESHOLD),
            glyph=lambda status: GLYPHS.get(status, FAILED),
            style=Markup(style),
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {"line": one_line, "svg": Markup}
    return environment


def _shown(value: Any) -> Any:
    """What an expression prints: control and direction marks are written out, also inside finished markup."""
    return type(value)(visible(value)) if isinstance(value, str) else value


def _statuses(results: Results) -> dict[Status, int]:
    counts = Counter(cell.status for cell in results.cells)
    return {status: counts[status] for status in Status if counts[status]}
