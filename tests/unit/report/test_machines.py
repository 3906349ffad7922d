"""Rows of different machines are never compared or ranked together; where there are several, the report names them."""

from __future__ import annotations

import csv
import io
import re

import pytest

from harness.report.files.data import as_csv
from harness.report.files.export import export
from harness.report.files.markdown import render_markdown
from harness.report.html.report_page import render_html
from harness.report.table.build import build
from harness.report.table.picks import picks
from harness.report.table.runtimes import runtimes
from harness.report.table.summary import busy, findings
from harness.results import Results, RunMachine
from tests.results_factory import MACHINE, OTHER, machine, results, two_machines, wrap


@pytest.fixture(scope="module")
def both() -> Results:
    return two_machines()


def text(page: str) -> str:
    return re.sub(r"<[^>]+>", "", page)


def test_a_group_holds_rows_of_one_machine_only(both: Results) -> None:
    table = build(both)
    assert table.machines == (MACHINE, OTHER)
    for group in table.groups:
        assert {row.cell.machine for row in group.rows} <= {group.machine, None}
    assert len({group.name for group in table.groups}) == len(table.groups)
    assert len({row.anchor for row in table.rows}) == len(table.rows) == len(both.cells)


def test_a_ratio_is_against_the_baseline_of_the_same_machine(both: Results) -> None:
    for group in build(both).groups:
        for row in group.rows:
            assert row.against is None or row.against.machine == group.machine
    (one,) = [g for g in build(results()).groups if (g.model, g.device) == ("minilm-ner", "cpu")]
    (same,) = [g for g in build(both).groups if (g.model, g.device, g.machine) == ("minilm-ner", "cpu", OTHER)]
    ratios = [[row.speed and row.speed.speedup for row in group.measured] for group in (one, same)]
    assert ratios[1] == pytest.approx(ratios[0])


def test_rows_of_a_machine_without_a_baseline_have_no_ratio() -> None:
    cells = [cell for cell in results().cells if cell.model == "minilm-ner" and cell.machine]
    moved = [cell.model_copy(update={"machine": OTHER}) if cell.method != "original" else cell for cell in cells]
    table = build(wrap(moved, machines=(MACHINE, OTHER)))
    there = next(group for group in table.groups if group.machine == OTHER)
    assert there.baseline is None
    assert all(row.speed is None and row.weights_ratio is None for row in there.rows)


def test_picks_and_findings_stay_on_one_machine(both: Results) -> None:
    table = build(both)
    for group in table.groups:
        found = picks(group)
        for pick in (found.fastest, found.smallest, found.balanced):
            assert pick is None or {row.cell.machine for row in (pick.row, *pick.ties)} == {group.machine}
    assert all(finding.row in finding.group.rows for finding in findings(table))
    assert {each.machine for each in runtimes(table)} == {MACHINE, OTHER}


def test_what_was_not_measured_stands_with_the_only_machine_there() -> None:
    table = build(results())
    assert {group.machine for group in table.groups if group.measured} == {MACHINE}
    assert not any(group.apart for group in table.groups)


def test_several_machines_are_named_in_every_output(both: Results) -> None:
    table = build(both)
    page, readme = render_html(both, table), render_markdown(both, table, [])
    assert "lab &lt;b&gt;two" in text(page)
    assert "<b>two" not in page
    assert '<h3><bdi data-word="machine.0badcafe">' in page
    assert "no-machine" not in page.partition("<tbody")[0].partition("<table role")[2]
    assert "| Machine |" in readme.splitlines()[2]
    assert "lab &lt;b&gt;two" in readme
    assert "lab" in export(both, "latex")
    assert "| Machine |" in export(both, "markdown")
    lines = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert {line["machine"] for line in lines} == {MACHINE, OTHER, ""}


def test_one_machine_is_not_named_in_the_table() -> None:
    run = results()
    page, readme = render_html(run, build(run)), render_markdown(run, build(run), [])
    assert "no-machine" in page.partition("<tbody")[0].partition("<table role")[2]
    assert "Machine" not in readme.splitlines()[2]
    assert "Machine" not in export(run, "markdown")


def test_machines_of_one_name_are_told_apart_by_their_ids() -> None:
    def named(id: str) -> RunMachine:
        return machine(id).model_copy(update={"name": "runner"})

    both = two_machines().model_copy(update={"machines": {id: named(id) for id in (MACHINE, OTHER)}})
    readme = render_markdown(both, build(both), [])
    assert f"runner ({MACHINE})" in readme
    assert f"runner ({OTHER})" in readme


def test_only_the_machine_that_was_busy_is_called_so(both: Results) -> None:
    def disturbed(run: Results) -> Results:
        cells = []
        for cell in run.cells:
            if cell.machine == OTHER and cell.latency_ms:
                rounds = [each.model_copy(update={"noisy": "throttled"}) for each in cell.latency_ms.rounds]
                cell = cell.model_copy(update={"latency_ms": cell.latency_ms.model_copy(update={"rounds": rounds})})
            cells.append(cell)
        return run.model_copy(update={"cells": cells})

    run = disturbed(both)
    (caution,) = busy(run)
    assert caution.key == "busy.on"
    assert "lab &lt;b&gt;two was busy:" in render_markdown(run, build(run), [])
