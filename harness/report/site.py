"""The static site: the report, its data, its history and the schemas in one folder that any web host serves as it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import escape

from harness.errors import UsageError
from harness.report.files.replacing import replace
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
    cannot be read, and for a ``url`` that is none; EnvironmentProblem where the disk refuses the files.
    """
    missing = [name for name in _PARTS if not (reports / name).is_file()]
    if missing:
        raise UsageError(f"{reports} holds no finished report: {', '.join(missing)} missing", "run `harness run` first")
    if url and not url.startswith(("https://", "http://")):
        raise UsageError(f"{url!r} is no address of a site", "write it whole, such as https://example.org/report")
    history = past.collect(reports / "results.json", newest)
    made: dict[str, str | bytes] = {
        source.name: source.read_bytes()
        for source in [*(reports / name for name in _PARTS), *sorted(reports.glob("*.svg"))]
    }
    made["index.html"] = _with_history(made["index.html"], history.newest.results.language)
    made |= {name: json.dumps(schema, indent=1) for name, schema in schemas.items()}
    made |= {
        "history.json": past.as_json(history),
        "history.html": render_history(history),
        "feed.xml": as_atom(history, url),
        ".nojekyll": "",
    }
    files = [file for file in replace(site, made.items()) if file.name != ".nojekyll"]
    return PublishedSite(tuple(files), history)


def _with_history(page: str | bytes, language: str) -> str:
    """Lead from the report to its history. The report itself has no such link, for only a site has a history beside it."""
    link = f'<p class="quiet"><a href="history.html">{escape(template(language, "history.link"))}</a></p>'
    text = page.decode("utf-8") if isinstance(page, bytes) else page
    return text.replace("</main>", f"{link}\n</main>", 1)


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
