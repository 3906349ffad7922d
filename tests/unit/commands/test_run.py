"""Before anything is run: rows that would be lost are named, and `--force` or another folder is the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.report.data import as_json

from harness.catalog import load_catalog
from harness.commands import run as running
from harness.commands import workspace
from harness.errors import UsageError
from harness.matrix.expand import expand
from harness.results import Results
from tests.results_factory import results

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
    assert job.machine == "a runner"
    assert "tiny" in job.catalog.runtimes
