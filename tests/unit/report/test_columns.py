"""A column is one entry: it stands in every output with nothing else edited. The report knows no task by name."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from harness.report import render
from harness.report.files.export import export
from harness.report.html.page_data import page_data
from harness.report.table import columns
from harness.report.table.build import build
from harness.report.table.column import TableColumn
from harness.results import Results
from tests.results_factory import FIELDS, METRICS, TASKS, results

REPORT = Path(columns.__file__).parents[1]
LOAD = TableColumn(
    "load",
    {"en": "Loading", "ru": "Загрузка"},
    lambda cell: cell.phases["load"].seconds if "load" in cell.phases else None,
    unit={"en": "s", "ru": "с"},
    about={"en": "How long it takes.", "ru": "Сколько это длится."},
    data=("load_s",),
)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> TableColumn:
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, LOAD))
    return LOAD


@pytest.mark.parametrize(("language", "heading"), [("en", "Loading, s"), ("ru", "Загрузка, с")])
def test_a_column_that_is_added_stands_in_every_output(
    added: TableColumn, tmp_path: Path, language: str, heading: str
) -> None:
    run = results(language=language)
    render(run, tmp_path)
    page = (tmp_path / "index.html").read_text("utf-8")
    measured = sum(cell.latency_ms is not None for cell in run.cells)
    assert page.count(f'data-column="load" data-label="{heading}"><span class="value">0.840') == measured
    assert page.count('<th scope="col" role="columnheader" aria-sort="none" data-column="load">') == 1
    assert '<input type="checkbox" name="column" value="load">' in page
    assert ".no-load [data-column=load]" in page
    assert added.about[language] in page
    readme = (tmp_path / "README.md").read_text("utf-8").splitlines()
    assert f"| {heading} |" in readme[2]
    assert readme[4].endswith("| 0.840 |")
    assert f"| {heading} |" in export(run, "markdown")
    assert f"& {heading} " in export(run, "latex").replace(r" \\", " ")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text("utf-8"))))
    assert {line["load_s"] for line in lines} == {"0.84", ""}
    assert {cell["load_s"] for cell in json.loads(export(run, "json"))} == {0.84, None}


def test_the_script_is_given_what_it_needs_of_it(added: TableColumn) -> None:
    run = results()
    data = page_data(run, build(run), columns.vocabulary(run))
    assert {"key": "load", "against": None, "descending": False, "data": ["load_s"]} in data["columns"]
    assert set(data["values"]["load"]) == {0.84, None}
    assert data["vocabulary"]["ru"]["column.load"] == "Загрузка, с"
    assert "load" in data["shown"].split()


def test_what_lacks_a_value_says_why(added: TableColumn) -> None:
    row = next(row for row in build(results()).rows if not row.measured)
    assert row.missing["load"].arguments["text"] == row.cell.reason


def test_every_column_has_its_words_in_both_languages() -> None:
    for column in columns.COLUMNS:
        if column.page or column.tables:
            assert column.words.keys() == {"en", "ru"}, column.key
        if column.page:
            assert column.about.keys() == {"en", "ru"}, column.key


def test_keys_and_names_of_data_are_unique_but_for_the_latency_of_devices() -> None:
    keys = [column.key for column in columns.COLUMNS]
    assert len(set(keys)) == len(keys)
    names = [name for column in columns.COLUMNS for name in (*column.data, *column.more)]
    assert {name for name in names if names.count(name) > 1} == {
        "latency_p50_ms",
        "latency_low_ms",
        "latency_high_ms",
    }


@pytest.mark.parametrize("name", sorted([*TASKS, *METRICS, *(name for name in FIELDS if name != "batch")]))
def test_the_report_names_no_task_metric_or_workload_field(name: str) -> None:
    files = [path for path in REPORT.rglob("*") if path.suffix in (".py", ".jinja", ".js", ".json")]
    assert files
    found = [path.name for path in files if re.search(rf"""["'.]{name}["'.]""", path.read_text("utf-8"))]
    assert found == []


def test_words_of_the_results_are_shown_in_the_language_of_the_report(tmp_path: Path) -> None:
    render(results(language="ru"), tmp_path)
    page = re.sub(r"<[^>]+>", "", (tmp_path / "index.html").read_text("utf-8"))
    assert "разметка слов · cpu · батч 1, токенов: 128" in page
    assert "перплексия 33.3" in page


def test_a_name_without_words_is_shown_as_it_is(tmp_path: Path) -> None:
    bare = {"tasks": {}, "metrics": {}, "workload_fields": {}}
    run: Results = results().model_copy(update=bare)
    render(run, tmp_path)
    page = re.sub(r"<[^>]+>", "", (tmp_path / "index.html").read_text("utf-8"))
    assert "token-classification · cpu · batch 1, sequence_length 128" in page


@pytest.mark.parametrize("text", ["=1+1", " =1", "\u3000=1", "\uff1d1", "\uff0b1", "\ufeff@x", "\t1", "-2"])
def test_no_text_begins_like_a_formula(text: str) -> None:
    run = results()
    cell = run.cells[0].model_copy(update={"model": text})
    (line,) = csv.DictReader(io.StringIO(export(run.model_copy(update={"cells": [cell]}), "csv")))
    assert line["model"] == f"'{text}"


def test_the_other_metrics_of_a_task_stand_on_the_page_of_the_cell_and_in_the_data(tmp_path: Path) -> None:
    run, cells = results(), []
    for cell in run.cells:
        more = {"metric": "accuracy", "value": 0.7125, "interval": (0.7, 0.72)}
        other = [cell.quality.model_copy(update=more)] if cell.quality else []
        cells.append(cell.model_copy(update={"more_quality": other}))
    render(run.model_copy(update={"cells": cells}), tmp_path)
    page = (tmp_path / "index.html").read_text("utf-8")
    measured = sum(cell.quality is not None for cell in cells)
    told = r'<dt><bdi><bdi data-word="metric.accuracy">accuracy</bdi></bdi></dt><dd><bdi>0.713 \[0.700,'
    assert len(re.findall(told, page)) == measured
    lines = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text("utf-8"))))
    assert {line["more_quality"] for line in lines} == {"accuracy=0.7125", ""}
