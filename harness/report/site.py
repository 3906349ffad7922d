"""The static site: the report, its data, its history and the schemas in one folder that any web host serves as it is."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import escape

from harness.errors import UsageError
from harness.report.history import runs as past
from harness.report.history.feed import as_atom
from harness.report.history.runs import History
from harness.report.html.history_page import render_history
from harness.report.language.catalogue import template

_PARTS = ("index.html", "README.md", "results.json", "results.csv")


@dataclass(frozen=True)
class PublishedSite:
    """What was written."""

    files: tuple[Path, ...]
    history: History


def publish(
    reports: Path, site: Path, schemas: dict[str, dict[str, Any]], newest: int = past.NEWEST, url: str = ""
) -> PublishedSite:
    """Write the site from a finished report, with at most ``newest`` runs in its history.

    ``schemas`` are JSON Schemas by file name; ``url``, where the site will be, makes the feed's links absolute.
    ``.nojekyll`` keeps GitHub Pages from leaving files out. Raises UsageError where there is no report, for results that
    cannot be read, and for a ``url`` that is none.
    """
    missing = [name for name in _PARTS if not (reports / name).is_file()]
    if missing:
        raise UsageError(f"{reports} holds no finished report: {', '.join(missing)} missing", "run `harness run` first")
    if url and not url.startswith(("https://", "http://")):
        raise UsageError(f"{url!r} is no address of a site", "write it whole, such as https://example.org/report")
    history = past.collect(reports / "results.json", newest)
    site.mkdir(parents=True, exist_ok=True)
    sources = [*(reports / name for name in _PARTS), *sorted(reports.glob("*.svg"))]
    files = [Path(shutil.copy2(source, site / source.name)) for source in sources]
    made = {name: json.dumps(schema, indent=1) for name, schema in schemas.items()}
    made |= {
        "history.json": past.as_json(history),
        "history.html": render_history(history),
        "feed.xml": as_atom(history, url),
    }
    for name, text in made.items():
        (site / name).write_text(text, "utf-8")
    _link_history(site / "index.html", history.newest.results.language)
    (site / ".nojekyll").touch()
    return PublishedSite((*files, *(site / name for name in made)), history)


def _link_history(page: Path, language: str) -> None:
    """Lead from the report to its history. The report itself has no such link, for only a site has a history beside it."""
    link = f'<p class="quiet"><a href="history.html">{escape(template(language, "history.link"))}</a></p>'
    page.write_text(page.read_text("utf-8").replace("</main>", f"{link}\n</main>", 1), "utf-8")


def described(history: History) -> str:
    """How many runs the history has, and why there are no more, in words for the command line."""
    count = len(history.runs)
    told = [f"history of {count} run{'s' * (count > 1)}"]
    if not history.committed:
        told.append("this run alone, for git holds no results of before")
    if history.shallow:
        told.append("the checkout is shallow: `git fetch --unshallow` brings the earlier ones")
    if history.unreadable:
        told.append(f"left out {history.unreadable} without results that can be read")
    return "; ".join(told)
