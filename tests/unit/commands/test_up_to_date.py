"""A run with nothing to do stops early, and only where really nothing has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.commands import run as running
from harness.commands.workspace import Workspace
from harness.errors import Exit
from harness.runner.store import Store
from tests import null_cells
from tests.in_process import InProcess
from tests.operations import opened_files


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Workspace]:
    """Opens a small matrix anew, as another process would; it has been run."""
    file = null_cells.write(tmp_path, null_cells.MODELS, rounds=2)

    def opened() -> Workspace:
        return null_cells.opened(file, InProcess())

    assert running.run(opened(), "plain").exit is Exit.OK
    return opened


def ran(job: Workspace) -> int:
    """How many steps a run of it takes."""
    assert isinstance(job.engine, InProcess)
    assert running.run(job, "plain").results is not None
    return len(job.engine.ran)


def test_the_second_run_reads_no_step(
    work: Callable[[], Workspace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = (work().out / "results.json").read_bytes()
    monkeypatch.setattr(Store, "find", lambda self, key: pytest.fail("a step was read"))
    found = running.run(work(), "plain")
    assert "nothing to do: all 5 cells are measured" in capsys.readouterr().err
    assert found.exit is Exit.OK
    assert found.results
    assert len(found.results.cells) == 5
    assert (work().out / "results.json").read_bytes() == first


def test_it_opens_as_many_files_however_many_cells_there_are(tmp_path: Path) -> None:
    opened = []
    for cells in (10, 40):
        file = null_cells.write(tmp_path / str(cells), cells)
        running.run(null_cells.opened(file, InProcess()), "plain")
        job = null_cells.opened(file, InProcess())
        opened.append(opened_files(lambda job=job: running.run(job, "plain")))
    assert opened[1] <= opened[0] + 5


@pytest.mark.parametrize("name", ["receipt.json", "status.json", "out/record.json"])
@pytest.mark.parametrize("damage", ["other", "gone"])
def test_a_step_that_was_damaged_is_made_again(work: Callable[[], Workspace], name: str, damage: str) -> None:
    job = work()
    key = job.plan.wanted[0].rounds[0]
    file = job.store.path(key) / name
    if damage == "gone":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[:-2] + b" " * 2)  # as long as before
    assert ran(job) == 1
    assert ran(work()) == 0


def test_a_removed_step_is_made_again_also_where_it_is_an_input_only(work: Callable[[], Workspace]) -> None:
    job = work()
    for key in job.plan.wanted[0].leaves:
        job.store.path(key).rename(job.store.root / key)
    assert ran(job) == len(job.plan.wanted[0].leaves)


@pytest.mark.parametrize("name", ["results.json", "index.html"])
def test_a_report_that_is_gone_is_drawn_again(work: Callable[[], Workspace], name: str) -> None:
    file = work().out / name
    file.unlink()
    assert ran(work()) == 0
    assert file.is_file()


def test_another_text_of_the_matrix_draws_the_report_again(work: Callable[[], Workspace]) -> None:
    file = work().matrix_file
    file.write_text(file.read_text("utf-8") + "\nreport: {title: Another}\n", "utf-8")
    found = running.run(work(), "plain").results
    assert found
    assert found.title == "Another"


def test_what_a_run_does_not_read_is_still_noted_as_used(work: Callable[[], Workspace]) -> None:
    job = work()
    folder = job.store.path(job.plan.wanted[0].rounds[0])
    os.utime(folder, (1, 1))
    assert ran(job) == 0
    assert folder.stat().st_mtime > 1
