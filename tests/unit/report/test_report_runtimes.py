"""What the report says of runtimes, and of the rows that were not measured."""

from harness.report.files.markdown import failures
from harness.report.table.build import build
from harness.report.table.runtimes import runtimes
from harness.results import Status
from tests.results_factory import FLOOR_MB, results


def test_every_measured_runtime_has_its_ram_at_rest_once_a_device() -> None:
    found = runtimes(build(results()))
    assert len({(each.name, each.device) for each in found}) == len(found)
    for each in found:
        if each.device == "cpu":
            assert abs(each.floor_bytes / 1e6 - FLOOR_MB[each.name]) < 0.05 * FLOOR_MB[each.name]


def test_rows_with_one_reason_are_one_line_that_counts_them() -> None:
    table = build(results())
    found = failures(table)
    assert len({(each.status, each.reason) for each in found}) == len(found)
    assert sum(each.count for each in found) == sum(row.cell.status is not Status.OK for row in table.rows)


def test_a_line_names_every_value_of_its_cells() -> None:
    run = results()
    reason = {"status": Status.SKIPPED, "reason": "no NVIDIA driver"}
    cells = [cell.model_copy(update=reason | {"device": "cuda"}) for cell in run.cells[:3]]
    (line,) = failures(build(run.model_copy(update={"cells": cells})))
    assert line.count == 3
    assert line.cells.endswith("· cuda")
    assert all(cell.method in line.cells and cell.runtime in line.cells for cell in cells)
