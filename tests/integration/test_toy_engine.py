"""An engine whose machines share no disk, in a folder from elsewhere: a matrix runs on it, and nothing else is edited."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.results import Results, read

ROOT = Path(__file__).parents[2]
PROGRAM = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from harness.catalog import plugins
plugins.extend(Path({str(ROOT / "tests" / "plugin")!r}))
from harness.cli import main
main()
"""
MATRIX = """
models: [{name: toy, source: "zoo:toy-number", task: toy-images, dataset: "path:./images.npz"}]
methods: [original]
runtimes: ["null"]
workloads: {toy-images: [{batch: 1, image_size: 8}, {batch: 2, image_size: 8}, {batch: 4, image_size: 8}]}
measure: {rounds: 2, extra_rounds: 0, min_seconds: 0.05, max_seconds: 0.2}
limits: {cpus: 1, memory: 1GiB}
"""


def harness(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix with a model of one number that the plug-in trains, and sixty-four images of the user's."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "matrix.yaml").write_text(MATRIX)
    images = np.random.default_rng(0).integers(0, 255, (64, 8, 8)).astype(np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.arange(64) % 2)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Results:
    done = harness(folder, "run", "--engine", "toy", "--progress", "plain")
    found = read(folder / "reports" / "results.json")
    assert found is not None, done.stderr
    assert done.returncode == 0, done.stderr
    return found


def test_a_matrix_runs_on_it_from_plan_to_results(made: Results) -> None:
    assert [cell.status for cell in made.cells] == ["ok"] * 3
    assert {cell.engine for cell in made.cells} == {"toy"}
    assert all(len(cell.latency_ms.rounds) == 2 for cell in made.cells if cell.latency_ms)


def test_groups_are_measured_at_both_places_and_each_at_one(folder: Path, made: Results) -> None:
    receipts = [json.loads(file.read_text())["receipt"] for file in folder.glob(".matrix/steps/*/*/receipt.json")]
    measured: dict[str, set[str]] = {}
    for receipt in receipts:
        if receipt["kind"] == "measure" and ", round" in receipt["title"]:
            measured.setdefault(receipt["title"].rpartition(",")[0], set()).add(receipt["machine"])
    assert all(len(machines) == 1 for machines in measured.values())
    assert set().union(*measured.values()) <= {"toy-one", "toy-two"}
    assert {cell.machine for cell in made.cells} <= {"toy-one", "toy-two"}


def test_inputs_came_by_their_keys_and_whole(folder: Path, made: Results) -> None:
    steps = {file.parent.name for file in folder.glob(".matrix/steps/*/*/receipt.json")}
    staged = {path.name for path in folder.glob("machines/*/inputs/*")}
    assert staged
    assert staged <= steps


def test_a_second_run_has_nothing_to_do(folder: Path, made: Results) -> None:
    done = harness(folder, "run", "--engine", "toy")
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stderr


def test_the_engine_is_offered_by_name_and_an_unknown_one_is_told(folder: Path, made: Results) -> None:
    assert "toy" in harness(folder, "doctor", "--engine", "toy").stdout
    done = harness(folder, "plan", "--engine", "tay")
    assert done.returncode == 2
    assert "did you mean 'toy'?" in done.stderr
