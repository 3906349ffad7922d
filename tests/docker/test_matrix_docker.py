"""A small matrix through real containers: from the file to the report, resumed, and one container by hand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engines.docker.engine import DockerEngine

pytestmark = pytest.mark.docker

MATRIX = """
models:
  - {name: digits-cnn, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}
methods: [original, bf16, int8-dynamic]
runtimes: [pytorch, onnxruntime]
workloads: {image-classification: [{batch: 2, image_size: 32}]}
measure: {rounds: 2, min_seconds: 0.1, max_seconds: 1}
limits: {cpus: 1, memory: 4GiB}
"""


def harness(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3000)


@pytest.fixture(scope="module")
def ran(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    folder.chmod(0o755)
    (folder / "matrix.yaml").write_text(MATRIX, "utf-8")
    done = harness(folder, "run", "--engine", "docker", "--progress", "plain")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def cells(ran: Path) -> dict[str, dict]:
    results = json.loads((ran / "reports" / "results.json").read_text("utf-8"))
    return {f"{cell['method']} {cell['runtime']}": cell for cell in results["cells"]}


def test_every_cell_is_a_row_and_what_cannot_be_made_says_why(cells: dict[str, dict]) -> None:
    statuses = {name: cell["status"] for name, cell in cells.items()}
    assert statuses.pop("bf16 onnxruntime") == "unsupported"
    assert set(statuses.values()) == {"ok"}
    assert len(statuses) == 5
    assert "hf/bf16" in cells["bf16 onnxruntime"]["reason"]


def test_every_measured_row_names_image_digest_and_artifact(cells: dict[str, dict]) -> None:
    for cell in cells.values():
        if cell["status"] == "ok":
            assert cell["image"]["digest"].startswith("sha256:")
            assert len(cell["artifact"]["hash"]) == 64
            assert 2 <= len(cell["latency_ms"]["rounds"]) <= 4  # two more where the machine was not quiet
            assert cell["ram_bytes"] > cell["memory"]["floor_bytes"] > 0
            assert cell["vram_bytes"] is None
            assert cell["vram_reason"]


def test_quality_is_measured_in_each_runtime_on_held_out_digits(cells: dict[str, dict]) -> None:
    for cell in cells.values():
        if cell["status"] == "ok":
            assert cell["quality"]["metric"] == "accuracy"
            assert cell["quality"]["examples"] == 360
            assert cell["quality"]["value"] > 0.95


def test_the_runtime_image_without_torch_needs_less_memory(cells: dict[str, dict]) -> None:
    floors = {name: cells[f"original {name}"]["memory"]["floor_bytes"] for name in ("pytorch", "onnxruntime")}
    assert floors["onnxruntime"] < floors["pytorch"] / 2


def test_a_second_run_does_nothing_and_says_so(ran: Path, cells: dict[str, dict]) -> None:
    done = harness(ran, "run", "--engine", "docker")
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stderr


def test_a_report_that_is_drawn_again_keeps_the_date_of_its_run(ran: Path, cells: dict[str, dict]) -> None:
    data = ran / "reports" / "results.json"
    before = json.loads(data.read_text("utf-8"))["created_at"]
    (ran / "reports" / "index.html").unlink()
    assert "drawn again" in harness(ran, "run", "--engine", "docker").stderr
    assert json.loads(data.read_text("utf-8"))["created_at"] == before


def test_a_run_without_one_of_its_steps_makes_only_that_one(ran: Path, cells: dict[str, dict]) -> None:
    victim = next((ran / ".matrix" / "steps").glob("*/*/out/record.json")).parent.parent
    shutil.rmtree(victim)
    done = harness(ran, "run", "--engine", "docker", "--progress", "plain")
    assert done.returncode == 0, done.stderr
    assert "1 steps to run" in done.stderr


def test_one_container_measures_an_artifact_by_hand(ran: Path, cells: dict[str, dict]) -> None:
    cell = cells["int8-dynamic onnxruntime"]
    laid_out = harness(ran, "artifact", cell["id"], "--engine", "docker", "--out", "artifact")
    assert laid_out.returncode == 0, laid_out.stderr
    run = [
        "docker",
        "run",
        "--rm",
        "-v",
        f"{ran}/artifact:/artifact:ro",
        "compression-matrix/runtimes-onnxruntime",
        "/artifact",
    ]
    spoken = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "accuracy" in spoken
    assert "ms median" in spoken
    record = json.loads(subprocess.run([*run, "--json"], capture_output=True, text=True, check=True).stdout)
    assert record["quality"]["metrics"][0]["value"] == pytest.approx(cell["quality"]["value"])
