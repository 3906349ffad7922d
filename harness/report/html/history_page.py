"""The history of a site as one HTML file: no network and no script, every string from outside escaped."""

from __future__ import annotations

from markupsafe import Markup

from harness.report.charts import palette
from harness.report.history.compare import THRESHOLD
from harness.report.history.runs import History
from harness.report.history.trends import percent, told, trends
from harness.report.html import page
from harness.report.language.catalogue import Word
from harness.report.language.voice import Voice
from harness.report.table.columns import vocabulary
from harness.report.table.model import statuses


def render_history(history: History) -> str:
    """The page in the language of the newest results."""
    words = vocabulary(history.newest.results)
    say = Voice(history.newest.results.language, str, str, words)  # plain text: the template escapes all that it prints
    style = "\n".join([palette.page(), page.source("style.css"), page.source("history.css")])
    runs = [
        {"run": run, "statuses": statuses(run.results.cells), "told": told(found, say)}
        for run, found in zip(history.runs, history.comparisons, strict=True)
    ]
    environment = page.environment()
    environment.filters["svg"] = Markup
    return environment.get_template("history.html.jinja").render(
        title=history.newest.results.title,
        language=history.newest.results.language,
        say=say,
        machine_word=lambda id: Word("machine", id),
        runs=runs,
        groups=trends(history, say),
        threshold=percent(THRESHOLD),
        style=Markup(style),
        style_hash=page.digest(style),
    )
