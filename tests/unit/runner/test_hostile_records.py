"""A record of the right types that holds nonsense costs its own row, and no other's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.contracts import values
from harness.contracts.record import RuntimeRecord
from harness.contracts.values import Damaged
from tests import in_process
from tests.fuzz.targets.steps import run_with

ROUND = values.dump(in_process.measurement())
SCORE = values.dump(in_process.evaluation())


def changed(record: dict[str, Any], path: str, value: Any) -> bytes:
    data = json.loads(json.dumps(record))
    place = data
    *way, last = path.split(".")
    for part in way:
        place = place[part]
    place[last] = value
    return json.dumps(data).encode()


ROUNDS = [
    ("measurement.latency.pace_ns", []),
    ("measurement.latency.pace_ns", [0.0, 0.0, 0.0]),
    ("measurement.latency.pace_ns", [1.0, float("nan"), 1.0]),
    ("measurement.latency.nanoseconds", []),
    ("measurement.latency.nanoseconds", [0]),
    ("measurement.latency.nanoseconds", [10**400]),
    ("measurement.calls_per_sample", 0),
    ("measurement.steady_calls", 0),
    ("measurement.phases", {}),
    ("measurement.phases.steady.seconds", float("inf")),
    ("measurement.phases.steady.seconds", -1.0),
    ("measurement.generation", {"prefill_ns": [], "decode_ns": [], "encode_ns": None}),
    ("measurement.memory.peak_rss_bytes", -1),
    ("measurement.vram.peak_bytes", -1),
    ("measurement.noise.load_before", float("inf")),
    ("measurement.gpu_energy_j", float("nan")),
]
SCORES = [
    ("evaluation.metrics", []),
    ("evaluation.tallies", []),
    ("evaluation.tallies", [[1.0], [1.0, 2.0]]),
    ("evaluation.tallies", [[], []]),
]


@pytest.mark.parametrize(("path", "value"), ROUNDS)
def test_nonsense_in_a_round_is_refused_and_costs_its_row_only(path: str, value: Any, tmp_path: Path) -> None:
    data = changed(ROUND, path, value)
    (tmp_path / "record.json").write_bytes(data)
    with pytest.raises(Damaged, match=path.split(".")[1]):
        values.read(RuntimeRecord, tmp_path / "record.json")
    run_with("measure-b-0", "out/record.json", data, tmp_path / "store")


@pytest.mark.parametrize(("path", "value"), SCORES)
def test_nonsense_in_a_score_is_refused_and_costs_its_row_only(path: str, value: Any, tmp_path: Path) -> None:
    data = changed(SCORE, path, value)
    (tmp_path / "record.json").write_bytes(data)
    with pytest.raises(Damaged, match="evaluation"):
        values.read(RuntimeRecord, tmp_path / "record.json")
    run_with("evaluate-b", "out/record.json", data, tmp_path / "store")


@pytest.mark.parametrize("tallies", [[[1.0, 1.0]] * 2, [[1.0]] * 3, [[1e15], [0.0]]])
def test_tallies_of_other_examples_cost_no_other_row(tallies: Any, tmp_path: Path) -> None:
    run_with("evaluate-b", "out/record.json", changed(SCORE, "evaluation.tallies", tallies), tmp_path)


def test_a_container_cannot_measure_for_another_machine(tmp_path: Path) -> None:
    data = changed(ROUND, "measurement.machine.id", "another")
    run = run_with("measure-b-0", "out/record.json", data, tmp_path)
    assert "expected" in next(cell.reason or "" for cell in run.cells if cell.model == "b")
    assert "another" not in run.machines
