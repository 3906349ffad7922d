"""What ``harness doctor`` finds, with what is here and with what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.catalog import load_catalog
from harness.cli import main
from harness.commands import doctor
from harness.contracts import machine

RUNTIMES = load_catalog().runtimes


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without an engine and without a GPU."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    monkeypatch.setattr(machine, "gpus", list)


def by_subject(findings: list[doctor.Diagnosis]) -> dict[str, doctor.Diagnosis]:
    assert len({finding.subject for finding in findings}) == len(findings)
    return {finding.subject: finding for finding in findings}


@pytest.mark.usefixtures("nothing")
def test_every_runtime_is_one_line_and_what_is_missing_has_a_cure(tmp_path: Path) -> None:
    found = by_subject(doctor.examine(tmp_path, "auto"))
    assert found.keys() >= RUNTIMES.keys()
    lines = doctor.text(list(found.values())).splitlines()
    assert len(lines) == len(found)
    skipped = {name for name, runtime in RUNTIMES.items() if "cpu" not in runtime.card.devices}
    assert all(finding.cure for name, finding in found.items() if finding.state != "ok" and name not in skipped)


@pytest.mark.usefixtures("nothing")
def test_no_engine_and_no_gpu_are_missing_not_problems(tmp_path: Path) -> None:
    found = by_subject(doctor.examine(tmp_path, "auto"))
    assert (found["engine"].state, found["gpu"].state) == ("missing", "missing")
    assert "Docker" in str(found["engine"].cure)


@pytest.mark.usefixtures("nothing")
def test_an_engine_that_was_asked_for_and_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--engine", "docker", "--work", str(tmp_path), "--json"])
    assert result.exit_code == 3
    (engine,) = (finding for finding in json.loads(result.stdout) if finding["subject"] == "engine")
    assert engine["state"] == "problem"
    assert engine["cure"]


@pytest.mark.usefixtures("nothing")
def test_a_disk_that_is_too_small_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**9})())
    assert by_subject(doctor.examine(tmp_path, "venv"))["disk"].state == "problem"


def test_a_gpu_that_the_engine_cannot_hand_on_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: [machine.Gpu("NVIDIA T4", "GPU-1", 15360 * 2**20, "580.1")])
    found = by_subject(doctor.examine(tmp_path, "venv"))["gpu"]
    assert found.state == "missing" if not Path("/proc/driver/nvidia/version").exists() else "ok"
    assert "NVIDIA T4" in found.text
