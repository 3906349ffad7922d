"""The worker's command line: one artifact by hand, one step of a run, and an image that offers several runtimes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import tasks
from harness.catalog.closure import closure
from harness.contracts import prepared, values
from harness.contracts.record import FidelityRecord, RuntimeRecord
from harness.worker.environment import cpus_allowed

ROOT = Path(__file__).parents[3]

# --- by hand -----------------------------------------------------------------------------------------------------------

MANIFEST = {
    "format": "hf",
    "precision": "fp32",
    **tasks.card("image-classification").facts,
    "weights": ["model.safetensors"],
    "passes": [],
    "provenance": ["made by a test"],
    "tools": {},
    "extra": {},
}


def worker(*arguments: str | Path, image: Path = ROOT / "images/runtimes/null") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.worker", *map(str, arguments)]
    environment = {**os.environ, "MATRIX_IMAGE_DIR": str(image)}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A hand-made artifact of ten classes, with inputs to time and twenty held-out images, two of them of class 0."""
    for part in ("workload", "evaluation"):
        (tmp_path / "data" / part).mkdir(parents=True)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {str(i): str(i) for i in range(10)}}))
    (tmp_path / "model.safetensors").write_bytes(bytes(1234))
    images = np.zeros((20, 1, 8, 8), np.float32)
    prepared.save(tmp_path / "data" / "workload", {}, {"pixel_values": images[:8, None]})
    labels = np.arange(20) % 10
    prepared.save(tmp_path / "data" / "evaluation", {}, {"pixel_values": images, "labels": labels})
    return tmp_path


def test_an_artifact_is_measured_by_hand(artifact: Path) -> None:
    done = worker(artifact, "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("null on cpu,")
    assert "accuracy 0.1 [" in done.stdout


def test_json_is_the_whole_record(artifact: Path) -> None:
    record = json.loads(worker(artifact, "--seconds", "0.2", "--json").stdout)
    assert record["threads"] == cpus_allowed()
    assert record["weights_bytes"] == 1234
    assert len(record["latency"]["nanoseconds"]) >= 30
    assert list(record["phases"]) == ["import", "load", "first_inference", "steady"]
    assert record["machine"]["cpu_count"] == os.cpu_count()
    accuracy, macro_f1 = record["quality"]["metrics"]
    assert (accuracy["name"], accuracy["value"], macro_f1["name"]) == ("accuracy", 0.1, "macro_f1")
    assert len(record["quality"]["tallies"]) == 20


def test_quality_is_left_out_where_there_is_no_held_out_data(artifact: Path) -> None:
    (artifact / "data" / "evaluation").rename(artifact / "elsewhere")
    assert "quality  not measured" in worker(artifact, "--seconds", "0.2").stdout


def test_help_names_the_forms_and_shows_examples() -> None:
    done = worker("--help")
    assert done.returncode == 0
    assert "loads hf/fp32" in done.stdout
    assert "docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact" in done.stdout


def told(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line


def test_a_folder_without_a_manifest_is_told_in_one_line(tmp_path: Path) -> None:
    assert "holds no manifest.json; make an artifact with `harness artifact" in told(worker(tmp_path))


def test_a_form_that_is_not_loaded_is_told_in_one_line(artifact: Path) -> None:
    (artifact / "manifest.json").write_text(json.dumps({**MANIFEST, "format": "gguf", "precision": "q4"}))
    assert "null does not load gguf/q4 on cpu; it loads hf/bf16, hf/fp16, hf/fp32" in told(worker(artifact))


def test_an_artifact_that_does_not_say_its_use_is_told_in_one_line(artifact: Path) -> None:
    (artifact / "manifest.json").write_text(json.dumps({k: v for k, v in MANIFEST.items() if k != "call"}))
    assert "manifest.json: the field 'call' is missing; make the artifact again" in told(worker(artifact))


def test_missing_inputs_are_told_in_one_line(artifact: Path) -> None:
    (artifact / "data" / "workload").rename(artifact / "elsewhere")
    assert "data/workload is missing" in told(worker(artifact))


def test_a_runtime_that_fails_is_one_line_and_exit_code_1(artifact: Path) -> None:
    (artifact / "config.json").unlink()
    done = worker(artifact)
    assert done.returncode == 1
    assert done.stderr.startswith("worker: crashed: FileNotFoundError")
    assert len(done.stderr.splitlines()) == 1


def test_no_artifact_is_wrong_usage() -> None:
    assert worker().returncode == 2


# --- as a step ---------------------------------------------------------------------------------------------------------


def step(
    folder: Path,
    artifact: Path,
    kind: str,
    data: str,
    runtime: str = "null",
    reference: Path | None = None,
    keep_outputs: bool = False,
    **options: Path,
) -> tuple[int, dict[str, Any]]:
    folder.mkdir()
    spec: dict[str, Any] = {"runtime": runtime, "device": "cpu"}
    spec |= (
        {"sampling": {"max_seconds": 0.2, "min_seconds": 0.1}} if kind == "measure" else {"keep_outputs": keep_outputs}
    )
    machine = {"id": "0123456789ab", "name": "the-test"}
    described = {"kind": kind, "spec": spec, "seed": 0, "threads": 1, "machine": machine}
    (folder / "step.json").write_text(json.dumps(described))
    inputs = ["--input", f"artifact={artifact}", "--input", f"data={artifact / 'data' / data}"]
    inputs += ["--input", f"reference={reference}"] if reference else []
    done = worker("--step", folder, *inputs, **options)
    return done.returncode, json.loads((folder / "status.json").read_text())


def read(folder: Path) -> RuntimeRecord:
    return values.read(RuntimeRecord, folder / "out" / "record.json")


@pytest.mark.parametrize(("kind", "data"), [("measure", "workload"), ("evaluate", "evaluation")])
def test_a_step_leaves_its_record_and_says_ok(artifact: Path, tmp_path: Path, kind: str, data: str) -> None:
    code, status = step(tmp_path / "step", artifact, kind, data)
    assert (code, status["status"]) == (0, "ok")
    record = read(tmp_path / "step")
    assert (record.measurement is not None, record.evaluation is not None) == (kind == "measure", kind == "evaluate")
    made = record.measurement or record.evaluation
    assert made is not None
    assert (made.machine.id, made.machine.name) == ("0123456789ab", "the-test")


@pytest.mark.parametrize("kind", ["measure", "evaluate"])
def test_only_an_evaluation_knows_tasks(kind: str) -> None:
    places = closure(["harness.worker.__main__", f"harness.worker.{kind}"]).files
    assert any("tasks" in place for place in places) == (kind == "evaluate")
    assert f"harness/worker/{'evaluate' if kind == 'measure' else 'measure'}.py" not in places


def test_a_step_of_another_room_is_refused(artifact: Path, tmp_path: Path) -> None:
    code, status = step(tmp_path / "step", artifact, "train", "workload")
    assert (code, status["reason"]) == (1, "a runtime does not know the step 'train'; it knows measure, evaluate")


def test_outputs_are_compared_with_those_that_the_reference_kept(artifact: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    step(first, artifact, "evaluate", "evaluation", keep_outputs=True)
    step(second, artifact, "evaluate", "evaluation", reference=first / "out")
    kept, compared = (read(folder).evaluation for folder in (first, second))
    assert kept is not None
    assert compared is not None
    assert kept.fidelity is None
    assert compared.fidelity == FidelityRecord(20, top1_agreement=1.0, kl_divergence=0.0, max_logit_difference=0.0)
    assert kept.tallies == compared.tallies


def test_a_step_that_fails_says_why_in_its_status(artifact: Path, tmp_path: Path) -> None:
    (artifact / "config.json").unlink()
    code, status = step(tmp_path / "step", artifact, "measure", "workload")
    assert (code, status["status"]) == (1, "crashed")
    assert status["reason"].startswith("FileNotFoundError")


# --- one image, several runtimes ---------------------------------------------------------------------------------------

SEVERAL = """
import time
from dataclasses import replace
import numpy as np
from harness.contracts.cards import Form, RuntimeCard
from harness.contracts.adapter import Unsupported

PLAIN = RuntimeCard("plain", "a runtime", (Form("hf"),), ("cpu",), "https://example.org")
CARDS = (PLAIN, replace(PLAIN, name="picky", mode="picky"), replace(PLAIN, name="strange", loads=(Form("strange"),)))

class Adapter:
    def __init__(self, device, threads, mode):
        self.mode = mode
    def load(self, artifact, manifest):
        if self.mode == "picky":
            raise Unsupported("this model's operator Frobnicate 7 is too new; it reads up to 6")
    def run(self, inputs):
        return {"logits": np.eye(10, dtype=np.float32)[:1]}
    def precision(self):
        return "fp32"
    def close(self):
        pass
"""


@pytest.fixture
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    (folder / "adapter.py").write_text(SEVERAL)
    return folder


def test_by_hand_the_first_runtime_that_loads_the_artifact_is_taken(artifact: Path, several: Path) -> None:
    done = worker(artifact, "--seconds", "0.1", image=several)
    assert done.stdout.startswith("plain on cpu,"), done.stderr


def test_by_hand_a_runtime_can_be_named(artifact: Path, several: Path) -> None:
    done = worker(artifact, "--runtime", "picky", image=several)
    assert (done.returncode, done.stderr) == (
        1,
        "worker: unsupported: this model's operator Frobnicate 7 is too new; it reads up to 6\n",
    )


def test_a_form_that_another_runtime_of_the_image_loads_is_told(artifact: Path, several: Path) -> None:
    assert "strange does not load hf/fp32 on cpu; it loads strange/fp32" in told(
        worker(artifact, "--runtime", "strange", image=several)
    )


@pytest.mark.parametrize("kind", ["measure", "evaluate"])
def test_that_a_runtime_does_not_take_a_model_is_a_finding(
    artifact: Path, several: Path, tmp_path: Path, kind: str
) -> None:
    code, status = step(tmp_path / "step", artifact, kind, "workload", runtime="picky", image=several)
    assert (code, status["status"]) == (0, "ok")
    assert read(tmp_path / "step").unsupported == "this model's operator Frobnicate 7 is too new; it reads up to 6"
