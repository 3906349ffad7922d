"""What a cell costs does not grow with the number of cells. Work is counted, not timed: see ``tests/operations.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import report
from harness.collect import keep
from harness.collect.rows import Collector
from harness.commands import preview
from harness.commands.workspace import Workspace
from harness.matrix import load
from harness.matrix.expand import expand
from harness.results import Results
from harness.runner import rounds
from harness.runner.interrupt import Interrupts
from harness.runner.progress import Plain
from harness.runner.store import Store
from tests import null_cells
from tests.in_process import CATALOG, InProcess
from tests.operations import operations

FEW, MANY = 15, 60
MOST = 1.15  # times as much a cell; a list of all cells that every cell goes through makes it far more
Work = Callable[[Workspace], Callable[[], object]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[Workspace]:
    """A matrix of few cells and one of many, both run."""
    folder = tmp_path_factory.mktemp("load")
    jobs = []
    for cells in (FEW, MANY):
        job = null_cells.opened(null_cells.write(folder / str(cells), cells), InProcess(), CATALOG)
        job.run_over(job.plan, Plain(), Interrupts(print, job.engine.kill)).execute()
        jobs.append(job)
    return jobs


def collected(job: Workspace) -> Results:
    store = Store(job.store.root)
    made = Collector(job.plan, CATALOG, job.engine, "asked for", store, {}, job.here)
    return made.results(job.matrix_file.read_text("utf-8"))


def plan(job: Workspace) -> Callable[[], object]:
    opened = null_cells.opened(job.matrix_file, InProcess(), CATALOG)
    return lambda: opened.plan


def outlook(job: Workspace) -> Callable[[], object]:
    return lambda: preview.text(preview.of(job))


def extra_rounds(job: Workspace) -> Callable[[], object]:
    store = Store(job.store.root)
    return lambda: rounds.extra(job.plan, store)


def rows(job: Workspace) -> Callable[[], object]:
    return lambda: collected(job)


def kept_rows(job: Workspace) -> Callable[[], object]:
    made = collected(job)
    ids = {cell.id for cell in made.cells}
    return lambda: (keep.lost(made, made.matrix, ids, set()), keep.keep(made, made))


def drawing(job: Workspace) -> Callable[[], object]:
    made = collected(job)
    return lambda: report.render(made, job.out)


@pytest.mark.parametrize("work", [plan, outlook, extra_rounds, rows, kept_rows, drawing])
def test_a_cell_of_many_costs_no_more_than_one_of_few(measured: list[Workspace], work: Work) -> None:
    for job in measured:
        work(job)()  # imports and caches
    few, many = (operations(work(job)) / len(job.plan.cells) for job in measured)
    assert many < MOST * few


@pytest.mark.parametrize("model", ["", "model: m0, "])
@pytest.mark.parametrize("section", ["include", "exclude"])
def test_an_entry_for_every_workload_costs_each_cell_as_much(tmp_path: Path, section: str, model: str) -> None:
    costs = []
    more = ", rounds: 3" if section == "include" else ""
    for cells in (10 * FEW, 10 * MANY):
        numbers = range(cells // null_cells.MODELS // 2)
        lines = [f"  - {{{model}workload: {null_cells.workload(number)}{more}}}" for number in numbers]
        file = null_cells.write(tmp_path, cells, more=[f"{section}:", *lines])
        matrix = load.load(file, CATALOG)
        costs.append(operations(lambda matrix=matrix: expand(matrix)) / cells)
    assert costs[1] < MOST * costs[0]
