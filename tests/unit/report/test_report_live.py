"""What the page's script is given: every row with its raw numbers, and nothing that could end the element it stands in."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from harness.report.html import page_data as live
from harness.report.table.build import build
from harness.report.table.columns import shown_columns, vocabulary
from harness.report.table.coverage import coverage
from harness.results import Status
from harness.untrusted_text import visible
from tests.results_factory import HOSTILE, hostile, many, results


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_the_data_hold_every_row_in_the_order_of_the_table() -> None:
    run = results()
    table = build(run)
    whole = live.page_data(run, table, vocabulary(run))
    data, values = whole["rows"], whole["values"]
    assert data["anchor"] == [row.anchor for row in table.rows]
    assert all(len(column) == len(table.rows) for column in [*data.values(), *values.values()])
    measured = [row.cell.latency_ms for row in table.rows]
    assert [value and len(value) for value in values["cpu_ms"]] == [latency and 3 for latency in measured]


def test_data_cannot_end_the_element_they_stand_in() -> None:
    text = live.as_script(live.page_data(hostile(), build(hostile()), vocabulary(hostile())))
    assert "<" not in text
    assert visible(HOSTILE) in json.loads(text)["rows"]["method"]


def test_what_is_packed_comes_out_again_in_chunks() -> None:
    rows = [f"<tr>{number}" for number in range(250)]
    packed = json.loads(live.pack(rows, rows, {0: {"latency": "<svg>"}}, "<table>"))
    assert unpacked(packed["seen"]) == {"rows": rows, "charts": {"0": {"latency": "<svg>"}}, "maps": "<table>"}
    assert [len(unpacked(chunk)) for chunk in packed["details"]] == [100, 100, 50]


def test_only_a_long_table_is_packed() -> None:
    assert live.inline(build(results())) == 32
    assert live.inline(build(many(450))) == live.FIRST


def test_columns_without_a_value_are_not_shown_at_first() -> None:
    shown = shown_columns(build(results()))
    assert {"vram", "gpu_ms", "energy", "machine"}.isdisjoint(shown)
    assert {"weights", "cpu_ms", "quality"} <= set(shown)


def test_the_map_has_a_place_for_every_row_and_says_where_the_matrix_has_none() -> None:
    table = build(results())
    maps = coverage(table)
    places = [row for each in maps for _, line in each.lines for row in line]
    assert sum(row is not None for row in places) == len(table.rows)
    assert None in places
    assert any(row and row.cell.status is Status.CRASHED for row in places)
