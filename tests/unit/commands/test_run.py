"""Before anything is run: rows that would be lost are named, and `--force` or another folder is the way out."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from harness.catalog import load_catalog
from harness.cli import main
from harness.commands import run as running
from harness.commands import workspace
from harness.engines import registry
from harness.engines.contract import Job, Outcome
from harness.errors import EnvironmentProblem, Exit, UsageError
from harness.matrix.expand import expand
from harness.report.files.data import as_json
from harness.results import Cell, Check, Results, SelfTest, Status, read
from harness.runner import selftest as testing
from harness.runner.store import Store
from tests.in_process import CATALOG, HERE, InProcess, plan, succeed
from tests.results_factory import failed, results, wrap

ROOT = Path(__file__).parents[3]
FIRST = (ROOT / "examples" / "first.yaml").read_text("utf-8")


def opened(
    folder: Path, *, cells: tuple[str, ...] = (), images: tuple[Path, ...] = (), machine: str | None = None
) -> workspace.Workspace:
    file = folder / "m.yaml"
    file.write_text(FIRST, "utf-8")
    return workspace.open_(
        matrix_file=file,
        work=folder / "work",
        engine="host",
        out=folder / "out",
        cells=cells,
        images=images,
        machine=machine,
    )


def published(folder: Path, text: str) -> Path:
    file = folder / "out" / "results.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def like_the_matrix(job: workspace.Workspace) -> Results:
    """Results whose measured rows are those of the matrix."""
    found, cells = results(), expand(job.matrix)
    measured = [cell for cell in found.cells if cell.latency_ms]
    rows = [
        row.model_copy(update={"id": cell.id, "model": cell.model, "method": cell.method})
        for row, cell in zip(measured, cells, strict=False)
    ]
    return found.model_copy(update={"cells": rows, "matrix": FIRST})


def test_a_report_of_another_matrix_is_not_overwritten(tmp_path: Path) -> None:
    job = opened(tmp_path)
    file = published(tmp_path, as_json(results()))
    before = file.read_bytes()
    with pytest.raises(
        UsageError, match=r"results\.json holds \d+ measured rows that .*m\.yaml does not have"
    ) as refused:
        running.run(job)
    assert refused.value.cure == "write the report elsewhere with --out, or drop what is there with --force"
    assert file.read_bytes() == before
    assert not (tmp_path / "work").exists()  # nothing has begun


def test_force_takes_the_earlier_results_as_they_are(tmp_path: Path) -> None:
    job = opened(tmp_path)
    published(tmp_path, as_json(results()))
    assert running._earlier(job, force=True) == results()


def test_a_file_that_is_no_results_is_not_overwritten(tmp_path: Path) -> None:
    job = opened(tmp_path)
    published(tmp_path, "precious")
    with pytest.raises(UsageError, match=r"results\.json"):
        running.run(job)


def test_the_first_run_has_nothing_to_lose(tmp_path: Path) -> None:
    assert running._earlier(opened(tmp_path), force=False) is None


def test_a_run_of_one_cell_has_the_report_s_other_rows_to_keep(tmp_path: Path) -> None:
    job = opened(tmp_path, cells=("digits-cnn/original/onnxruntime/cpu/b1-i32",))
    before = like_the_matrix(job)
    published(tmp_path, as_json(before))
    assert running._earlier(job, force=False) == before


def test_the_machine_s_name_and_more_images_reach_the_workspace(tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "runtimes" / "tiny"
    mine.mkdir(parents=True)
    null = load_catalog().images["runtimes/null"].path
    (mine / "image.yaml").write_bytes((null / "image.yaml").read_bytes())
    (mine / "adapter.py").write_text((null / "adapter.py").read_text("utf-8").replace('"null"', '"tiny"'), "utf-8")
    job = opened(tmp_path, images=(tmp_path / "mine",), machine="a runner")
    assert job.here.name == "a runner"
    assert job.here.id != opened(tmp_path, machine="another").here.id
    assert "tiny" in job.catalog.runtimes


def test_the_place_that_runs_the_steps_must_have_the_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another machine: what this one has says nothing."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    for cpus, enough in ((1, False), (2, True)):
        machine = replace(HERE.machine, name="there", cpu_count=cpus)
        engine = InProcess(offered=(replace(HERE, machine=machine),))
        monkeypatch.setattr(registry, "choose", lambda *_, engine=engine: (engine, "asked for"))
        with nullcontext() if enough else pytest.raises(EnvironmentProblem, match="but there has 1"):
            opened(tmp_path)


def in_process(folder: Path, engine: InProcess) -> workspace.Workspace:
    """The eight cells of the run in this process; what they are collected to is `rows`."""
    found = plan()
    file = folder / "m.yaml"
    file.write_text("models: []", "utf-8")
    job = workspace.Workspace(
        file, found.matrix, CATALOG, engine, "asked for", Store(folder / "work"), folder / "out", lambda _: True
    )
    job.__dict__["plan"] = found
    return job


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """What the collector finds: the records of the engine in this process have no memory, no versions and so on."""
    cells = [cell for cell in results().cells if cell.latency_ms][:2]
    monkeypatch.setattr(running, "_collect", lambda *_: wrap(cells))
    return cells


def test_a_run_writes_the_report_and_a_second_one_has_nothing_to_do(
    tmp_path: Path, rows: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    engine = InProcess()
    done = running.run(in_process(tmp_path, engine), "plain")
    assert done.exit is Exit.OK
    assert done.results is not None
    assert read(done.out / "results.json") == done.results
    assert "2 cells: 2 ok\nreport: " in capsys.readouterr().err
    steps = len(engine.ran)
    again = running.run(in_process(tmp_path, engine), "plain", force=True)  # the rows have other names than the cells
    assert len(engine.ran) == steps
    assert again.results == done.results
    assert "nothing to do: all 8 cells are measured" in capsys.readouterr().err
    (done.out / "index.html").unlink()
    running.run(in_process(tmp_path, engine), "plain", force=True)
    assert "nothing to measure: the report is drawn again" in capsys.readouterr().err
    assert (done.out / "index.html").exists()


def test_a_row_that_was_not_measured_stays_in_the_report(
    tmp_path: Path, rows: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    job = in_process(tmp_path, InProcess())
    published(tmp_path, as_json(wrap(list(rows)).model_copy(update={"matrix": "models: []"})))
    measured = rows[1]
    rows[1] = failed(measured.model, measured.method, measured.runtime, Status.SKIPPED, "not picked in this run")
    done = running.run(job, "plain", force=True)
    assert done.results is not None
    assert done.results.cells[1].latency_ms == measured.latency_ms
    assert "2 cells: 2 ok; 1 of them kept from earlier results" in capsys.readouterr().err


def test_a_failed_cell_is_exit_code_1(tmp_path: Path, rows: list[Cell]) -> None:
    rows.append(failed("minilm-ner", "bf16", "onnxruntime", Status.CRASHED, "no"))
    assert running.run(in_process(tmp_path, InProcess())).exit is Exit.CELLS_FAILED


def test_a_run_that_is_stopped_leaves_the_report_alone(tmp_path: Path, rows: list[Cell]) -> None:
    def stop(job: Job) -> Outcome:
        signal.raise_signal(signal.SIGINT)
        return succeed(job)

    engine = InProcess({"data": stop})
    done = running.run(in_process(tmp_path, engine))
    assert (done.exit, done.results) == (Exit.INTERRUPTED, None)
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small_stops_the_run_before_it_begins(
    tmp_path: Path, rows: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = InProcess()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    with pytest.raises(EnvironmentProblem, match=r"needs about [\d,]+ MB, but the disk of .* has 1 MB free"):
        running.run(in_process(tmp_path, engine))
    assert engine.ran == []


def test_the_self_test_gives_its_place_back_and_tells_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(passed: bool) -> Callable[..., SelfTest]:
        check = Check(name="speed", wanted="1", found="2", passed=passed)
        return lambda *_: SelfTest(created_at="", host="here", engine="host", checks=[check])

    for passed, code in ((True, 0), (False, 1)):
        monkeypatch.setattr(testing, "run", made(passed))
        told = CliRunner().invoke(main, ["selftest", "--engine", "host", "--work", str(tmp_path), "--machine", "mine"])
        assert told.exit_code == code
        assert ("FAILED" in told.stdout) is not passed
    Store(tmp_path).lock().release()  # nobody holds it
