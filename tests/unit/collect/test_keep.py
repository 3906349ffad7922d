"""A run of a part of the matrix leaves the rest of the report alone, and says what it would drop."""

from __future__ import annotations

import yaml

from harness.collect import keep
from harness.results import Cell, Results, Status
from tests.results_factory import failed, results, wrap

MATRIX = {
    "models": [{"name": name, "source": "zoo:x"} for name in ("minilm-ner", "digits-cnn", "smollm2-135m")],
    "methods": ["original", {"name": "int8-dynamic", "passes": ["int8-dynamic"]}, "bf16", "fp16"],
}


def of(cells: list[Cell], matrix: object = MATRIX) -> Results:
    return wrap(cells).model_copy(update={"matrix": yaml.safe_dump(matrix)})


def skipped(cell: Cell) -> Cell:
    empty = failed(
        cell.model, cell.method, cell.runtime, Status.SKIPPED, "not picked in this run, and not measured before"
    )
    return empty.model_copy(update={"id": cell.id})


CELLS = results().cells
MEASURED = [cell for cell in CELLS if cell.latency_ms]


def test_rows_that_were_not_measured_now_stay_as_they_were_and_say_when_and_where() -> None:
    first, *rest = MEASURED
    made = keep.keep(of([first, *map(skipped, rest)]), of(MEASURED))
    assert made.cells[0] == first
    for now, then in zip(made.cells[1:], rest, strict=True):
        assert now.model_copy(update={"caveats": then.caveats}) == then
        assert now.caveats[:-1] == then.caveats
        assert then.measured_at
        assert then.measured_at in now.caveats[-1]
        assert "on f3a9c1d2 (AMD EPYC 9R14)" in now.caveats[-1]
    assert keep.kept(made) == [cell.id for cell in rest]


def test_what_was_measured_now_replaces_what_was_there() -> None:
    old = of(MEASURED[:1])
    crashed = failed("smollm2-135m", "original", "pytorch", Status.CRASHED, "no").model_copy(
        update={"id": MEASURED[0].id}
    )
    faster = MEASURED[0].model_copy(update={"ram_bytes": 1})
    for cell in (crashed, faster):
        assert keep.keep(of([cell]), old).cells == [cell]


def test_a_kept_row_is_marked_once_however_many_runs_keep_it() -> None:
    made = of([skipped(MEASURED[0])])
    once = keep.keep(made, of(MEASURED))
    assert keep.keep(made, once).cells == once.cells


def test_a_failure_stays_until_it_is_tried_again() -> None:
    crash = next(cell for cell in CELLS if cell.status is Status.CRASHED)
    assert keep.keep(of([skipped(crash)]), of([crash])).cells[0].status is Status.CRASHED


def test_a_row_that_was_skipped_before_has_nothing_to_keep() -> None:
    now, then = skipped(MEASURED[0]), skipped(MEASURED[0]).model_copy(update={"reason": "another"})
    assert keep.keep(of([now]), of([then])).cells == [now]


def test_rows_that_are_no_longer_in_the_matrix_are_not_kept_but_named() -> None:
    first, second, *_ = MEASURED
    assert keep.keep(of([first]), of([first, second])).cells == [first]
    assert keep.lost(of([first, second]), yaml.safe_dump(MATRIX), {first.id}, {first.id}) == [second.id]


def test_the_same_name_for_other_passes_is_another_row() -> None:
    row = next(cell for cell in MEASURED if cell.method == "int8-dynamic")
    other = {
        **MATRIX,
        "methods": ["original", {"name": "int8-dynamic", "passes": [{"int8-dynamic": {"per_channel": True}}]}],
    }
    made = of([skipped(row)], other)
    assert keep.keep(made, of([row])) == made
    assert keep.lost(of([row]), made.matrix, {row.id}, set()) == [row.id]
    assert keep.lost(of([row]), made.matrix, {row.id}, {row.id}) == []  # it is measured anew


def test_other_workloads_of_a_model_leave_its_rows_alone() -> None:
    row = MEASURED[0]
    models = [{**model, "workloads": [{"batch": 2}]} for model in MATRIX["models"] if isinstance(model, dict)]
    assert keep.lost(of([row]), yaml.safe_dump({**MATRIX, "models": models}), {row.id}, set()) == []


def test_rows_without_numbers_are_no_loss() -> None:
    refused = next(cell for cell in CELLS if cell.status is Status.UNSUPPORTED)
    assert keep.lost(of([refused]), "", set(), set()) == []


def test_the_harness_s_own_cost_stays_on_the_same_machine_only() -> None:
    before = of(MEASURED)
    made = before.model_copy(update={"overhead": None})
    assert keep.keep(made, before).overhead == before.overhead
    (here,) = before.machines.values()
    elsewhere = made.model_copy(
        update={"machines": {"another": here.model_copy(update={"id": "another"})}, "cells": []}
    )
    assert keep.keep(elsewhere, before).overhead is None


def test_the_machine_of_a_kept_row_is_kept_with_it() -> None:
    before = of(MEASURED)
    (here,) = before.machines.values()
    there = here.model_copy(update={"id": "another", "name": "another"})
    made = of([skipped(MEASURED[0])]).model_copy(update={"machines": {"another": there}})
    assert keep.keep(made, before).machines == {here.id: here, "another": there}


def test_a_matrix_that_cannot_be_read_keeps_rows_by_their_names() -> None:
    row = MEASURED[0]
    broken = of([row]).model_copy(update={"matrix": "models: ["})
    assert keep.lost(broken, "models: [", {row.id}, set()) == []
