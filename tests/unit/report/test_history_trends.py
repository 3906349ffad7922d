"""What changed from run to run, in words and as a line: never between machines, never where nothing was measured."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from harness.report.history.runs import History
from harness.report.history.trends import told, trends
from harness.report.html.history_page import render_history
from harness.report.language.voice import Voice
from harness.results import Cell, Status
from tests.history_factory import FAST, MONDAY, RUN, TUESDAY, WEDNESDAY, at, changed, history, slower, three
from tests.results_factory import failed

SAY = Voice("en", str, str)


@pytest.fixture(scope="module", name="three")
def _three() -> History:
    return three()


def changes(found: History, id: str) -> list[tuple[str, bool | None]]:
    (trend,) = [trend for group in trends(found, SAY) for trend in group if trend.cell.id == id]
    return [(words.text, words.better) for words in trend.changes]


def chart(found: History, id: str) -> ElementTree.Element:
    (trend,) = [trend for group in trends(found, SAY) for trend in group if trend.cell.id == id]
    assert trend.chart
    return ElementTree.fromstring(trend.chart)


def test_a_run_tells_what_changed_against_the_one_before(three: History) -> None:
    newest, middle, oldest = (told(found, SAY) for found in three.comparisons)
    assert newest == "31 cells compared with the run before: 1 faster. 1 cell is new."
    assert middle == "31 cells compared with the run before: 1 slower. 1 cell is gone."
    assert oldest == "The first run of this history."


def test_a_run_beside_itself_has_no_change_and_another_machine_is_told() -> None:
    one = told(history(at(TUESDAY), at(MONDAY)).comparisons[0], SAY)
    assert one == "32 cells compared with the run before: no change."
    other = told(history(at(TUESDAY, host="other"), at(MONDAY)).comparisons[0], SAY)
    assert "23 cells were measured on another machine" in other


def test_a_cell_tells_its_change_with_the_interval(three: History) -> None:
    ((text, better),) = changes(three, FAST)
    assert re.fullmatch(r"2\.\d+× \[1\.\d+,\xa02\.\d+\] faster", text)
    assert better is True
    ((text, better),) = changes(three, RUN.cells[1].id)
    assert re.fullmatch(r"1\.0+× \[0\.9\d+,\xa01\.0\d+\] the speed, no change of 5 % shown", text)
    assert better is None
    assert changes(three, RUN.cells[0].id) == [("new", None)]


def test_a_cell_tells_where_it_broke_and_what_grew() -> None:
    def larger(cell: Cell) -> Cell:
        more = {"weights_bytes": 2 * (cell.weights_bytes or 0), "ram_bytes": 3 * (cell.ram_bytes or 0)}
        return cell.model_copy(update=more)

    found = changes(history(at(TUESDAY, changed(FAST, larger)), at(MONDAY)), FAST)
    assert found[1:] == [("weights 2.0× larger", False), ("RAM 3.0× more", False)]
    crashed = changed(FAST, lambda cell: failed(cell.model, cell.method, cell.runtime, Status.CRASHED, "boom"))
    assert changes(history(at(TUESDAY, crashed), at(MONDAY)), FAST) == [("before: ok", False)]


def test_nothing_is_said_of_speeds_on_different_machines() -> None:
    found = history(at(TUESDAY, changed(FAST, slower), host="other"), at(MONDAY))
    assert changes(found, FAST) == [("another machine", None)]


def test_a_cell_that_is_gone_keeps_its_line_without_a_number() -> None:
    fewer = RUN.model_copy(update={"cells": RUN.cells[1:]})
    found = history(at(TUESDAY, fewer), at(MONDAY))
    (trend,) = [trend for group in trends(found, SAY) for trend in group if trend.cell.id == RUN.cells[0].id]
    assert (trend.latest, [words.text for words in trend.changes]) == (None, ["not in the newest run"])


# --- the line -----------------------------------------------------------------------------------------------------------


def moves(drawn: ElementTree.Element) -> list[tuple[int, int]]:
    """For each stretch of the line, that it is one, and how many points it joins."""
    paths = "".join(path.get("d") or "" for path in drawn.iter("path") if path.get("class") == "line")
    return [(1, part.count("L") + 1) for part in paths.split("M") if part]


def test_the_line_joins_the_runs_of_one_machine(three: History) -> None:
    drawn = chart(three, FAST)
    assert moves(drawn) == [(1, 3)]
    heights = [float(dot.get("cy") or 0) for dot in drawn.iter("circle")]
    assert heights[1] < heights[0] == heights[2]  # twice the time is higher up
    assert [dot.get("class") for dot in drawn.iter("circle")] == ["dot", "dot", "dot newest"]


def test_another_machine_breaks_the_line_and_is_marked() -> None:
    runs = [at(WEDNESDAY, host="b"), at(TUESDAY, host="a"), at(MONDAY, host="a")]
    drawn = chart(history(*runs), FAST)
    assert moves(drawn) == [(1, 2)]
    assert len(list(drawn.iter("circle"))) == 3
    assert [path.get("class") for path in drawn.iter("path")].count("border") == 1


def test_a_run_without_the_cell_breaks_the_line(three: History) -> None:
    drawn = chart(three, RUN.cells[0].id)
    assert moves(drawn) == []
    assert len(list(drawn.iter("circle"))) == 2


def test_a_diverged_run_has_no_point_and_a_struck_number() -> None:
    diverged = changed(FAST, lambda cell: cell.model_copy(update={"status": Status.DIVERGED, "reason": "far"}))
    found = history(at(TUESDAY, diverged), at(MONDAY))
    assert [dot.get("class") for dot in chart(found, FAST).iter("circle")] == ["dot"]
    assert re.search(r"<s>6\.\d+ ±.*?</s>", render_history(found))


def test_a_wobble_within_the_noise_is_drawn_as_one() -> None:
    """A change of a percent takes a small part of the height, not all of it."""

    def nearly(cell: Cell) -> Cell:
        assert cell.latency_ms
        return cell.model_copy(
            update={"latency_ms": cell.latency_ms.model_copy(update={"p50": 1.01 * cell.latency_ms.p50})}
        )

    drawn = chart(history(at(TUESDAY, changed(FAST, nearly)), at(MONDAY)), FAST)
    one, other = (float(dot.get("cy") or 0) for dot in drawn.iter("circle"))
    assert 0 < one - other < 36 / 8
