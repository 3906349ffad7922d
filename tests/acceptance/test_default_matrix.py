"""The whole default matrix from nothing, with every engine; then every mode of every runtime. Run by ``nox -s acceptance``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


ON_CPU = {"pytorch", "onnxruntime", "openvino", "litert", "tflite-runtime", "llamacpp"}
LANGUAGE_MODEL = "smollm2-135m"


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    folder: Path
    cells: list[dict[str, Any]]

    def ok(self, **wanted: str) -> list[dict[str, Any]]:
        """The rows that were measured and agree with every value."""
        measured = (cell for cell in self.cells if cell["status"] == "ok")
        return [cell for cell in measured if all(cell[name] == value for name, value in wanted.items())]


def harness(folder: Path, engine: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line on the repository's own files, with everything that it makes in ``folder``; its progress is printed."""
    where = [
        "--engine",
        engine,
        "--work",
        str(folder / "work"),
        "--out",
        str(folder / "reports"),
        "--progress",
        "plain",
    ]
    command = [sys.executable, "-m", "harness", "run", *where, *words]
    start = time.monotonic()
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            lines.append(line)
            print(f"{engine} {(time.monotonic() - start) / 60:5.1f} min  {line}", end="", flush=True)
    return subprocess.CompletedProcess(command, process.returncode, stderr="".join(lines))


@pytest.fixture(scope="module", params=["docker", "venv"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ran(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """matrix.yaml through an engine, in a store that was empty. Its minutes are printed, never judged: machines differ."""
    folder = tmp_path_factory.mktemp(engine)
    folder.chmod(0o755)
    done = harness(folder, engine)
    assert done.returncode == 0, done.stderr
    return Outcome(folder, json.loads((folder / "reports" / "results.json").read_text("utf-8"))["cells"])


def test_every_row_is_measured_or_says_why_not(ran: Outcome) -> None:
    assert {cell["status"] for cell in ran.cells} <= {"ok", "diverged", "unsupported", "skipped"}
    assert all(cell["reason"] for cell in ran.cells if cell["status"] != "ok")


def test_only_a_method_that_ruins_a_model_has_diverged(ran: Outcome) -> None:
    """Dynamic INT8 with one scale for the activations of a token does that to the language model, whose outliers it loses."""
    diverged = [(cell["model"], cell["method"]) for cell in ran.cells if cell["status"] == "diverged"]
    assert set(diverged) <= {(LANGUAGE_MODEL, "int8-dynamic")}


def test_every_runtime_has_measured_rows(ran: Outcome) -> None:
    assert {cell["runtime"] for cell in ran.ok(device="cpu")} >= ON_CPU


def test_the_language_model_runs_on_four_runtimes(ran: Outcome) -> None:
    rows = ran.ok(model=LANGUAGE_MODEL, method="original", device="cpu")
    assert len({cell["runtime"] for cell in rows}) >= 4
    assert all(cell["generation"]["decode_tokens_per_s"] > 0 for cell in rows)


def test_perplexity_is_the_same_on_every_runtime(ran: Outcome) -> None:
    rows = ran.ok(model=LANGUAGE_MODEL, method="original", device="cpu")
    values = {cell["runtime"]: cell["quality"]["value"] for cell in rows}
    assert max(values.values()) / min(values.values()) < 1.005, values


def test_only_pytorch_has_torch_in_memory(ran: Outcome) -> None:
    floors = {cell["runtime"]: cell["memory"]["floor_bytes"] for cell in ran.ok(device="cpu")}
    assert all(floor < floors["pytorch"] / 2 for runtime, floor in floors.items() if not runtime.startswith("pytorch"))


def test_without_a_gpu_its_rows_are_skipped_with_the_reason(ran: Outcome) -> None:
    on_gpu = [cell for cell in ran.cells if cell["device"] == "cuda"]
    assert on_gpu
    if not ran.ok(device="cuda"):
        assert {cell["status"] for cell in on_gpu} <= {"skipped", "unsupported"}


def test_a_second_run_has_nothing_to_do(ran: Outcome, engine: str) -> None:
    assert "nothing to do" in harness(ran.folder, engine).stderr


def test_every_mode_of_every_runtime(ran: Outcome, engine: str) -> None:
    """In the same store: models and images are there already."""
    done = harness(ran.folder, engine, "--matrix", "examples/runtimes.yaml", "--out", str(ran.folder / "modes"))
    assert done.returncode == 0, done.stderr
    cells = json.loads((ran.folder / "modes" / "results.json").read_text("utf-8"))["cells"]
    measured = {cell["runtime"] for cell in cells if cell["status"] == "ok"}
    assert measured >= {cell["runtime"] for cell in cells if cell["device"] == "cpu"}
