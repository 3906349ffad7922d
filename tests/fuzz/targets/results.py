"""Result files, from the text to all that is drawn of them, and runs that a site's history holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import report, results
from harness.errors import HarnessError
from harness.report.files.export import export
from harness.report.history import runs
from harness.report.history.compare import as_markdown, compare
from harness.report.history.feed import as_atom
from harness.report.history.runs import History, PastRun
from harness.report.html.history_page import render_history
from harness.results import Results
from tests.fuzz.mutations import mutated, mutated_json
from tests.fuzz.target import Target
from tests.results_factory import Status, failed, wrap
from tests.results_factory import results as made

_CELLS = made(rounds=2).cells


def _small(data: Any) -> Any:
    """With few samples: what is spoiled is seldom one of them."""
    for cell in data["cells"]:
        for each in (cell["latency_ms"] or {"rounds": []})["rounds"]:
            each["samples_ms"] = each["samples_ms"][:3]
    return data


GOOD = wrap([*_CELLS[:2], *_CELLS[-2:], failed("minilm-ner", "original", "pytorch", Status.CRASHED, "it [/broke]")])
NEW = _small(json.loads(GOOD.model_dump_json()))
OLD = json.loads(Path("tests/data/results-1.json").read_text("utf-8"))
OLD = _small(OLD | {"cells": [OLD["cells"][0], OLD["cells"][-1]]})
TEXTS = (json.dumps(NEW).encode(), json.dumps(OLD).encode())
BEFORE = results.parse(TEXTS[0])
VALUES = ("ok", "crashed", "2.0", "1.0", "ru", "2026-11-24T23:35:00Z", "9999-12-31T23:59:59-23:59", "{value}", "@@deep")
INPUTS = mutated_json((NEW, OLD), VALUES) | mutated(
    TEXTS, (b"NaN", b"Infinity", b'"NaN"', b"{", b"}", b"[", b"]", b'"')
)


def _read(data: bytes, folder: Path) -> Results:
    file = folder / "results.json"
    file.write_bytes(data)
    found = results.read(file)
    assert found is not None
    return found


def draw(data: bytes, folder: Path) -> None:
    """As ``harness report``, ``compare`` and ``export`` do; what was readable stays so."""
    try:
        found = _read(data, folder)
        for format_ in ("csv", "json", "markdown", "latex"):
            export(found, format_)
        as_markdown(compare(BEFORE, found))
        as_markdown(compare(found, BEFORE))
        report.render(found, folder, BEFORE)
    except HarnessError:
        assert (folder / "results.json").read_bytes() == data
        raise
    again = results.read(folder / "results.json")
    assert again is not None
    assert again.model_dump_json() == found.model_dump_json()


def tell(data: bytes, folder: Path) -> None:
    """As ``harness publish`` tells what git holds of a site's runs."""
    found = PastRun.of(_read(data, folder), "0" * 40)
    known = PastRun.of(BEFORE)
    assert known
    history = History(tuple(run for run in (known, found, known) if run))
    json.loads(runs.as_json(history))
    render_history(history)
    as_atom(history)


TARGETS = (
    Target("results", TEXTS, INPUTS, draw, (HarnessError,), weight=0.8),
    Target("history", TEXTS, INPUTS, tell, (HarnessError,), weight=1),
)
