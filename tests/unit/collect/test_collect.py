"""From what steps left in the store to rows: what an evaluation says of quality and fidelity, and when a row has diverged."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness import tasks
from harness.catalog import load_catalog
from harness.collect.rows import Collector
from harness.contracts import machine, values
from harness.contracts.artifact import AppliedPass, Manifest
from harness.contracts.files import write_json
from harness.contracts.record import (
    Evaluation,
    FidelityRecord,
    LatencyRecord,
    Measurement,
    MemoryRecord,
    MetricRecord,
    NoiseRecord,
    PhaseRecord,
    RuntimeRecord,
    VramRecord,
)
from harness.contracts.step import StepStatus
from harness.engines.contract import Engine
from harness.engines.host.engine import HostEngine
from harness.matrix import load
from harness.matrix.plan import Plan
from harness.results import Cell, Phase, Status
from harness.runner.store import Store
from harness.runner.store.receipt import Energy, Receipt
from tests.planning import planner

CATALOG = load_catalog()
TEXT = """
models: [{name: digits-cnn, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}]
methods: [original, int8-dynamic]
runtimes: [pytorch, onnxruntime]
workloads: {image-classification: [{batch: 1, image_size: 32}]}
measure: {rounds: 2}
"""
REFERENCE = "digits-cnn/original/pytorch/cpu/b1-i32"
QUANTIZED = "digits-cnn/int8-dynamic/onnxruntime/cpu/b1-i32"
NEAR = {"positions": 100, "top1_agreement": 0.99, "kl_divergence": 0.01, "max_logit_difference": 0.5}


def score(right: int, fidelity: dict[str, Any] | None) -> RuntimeRecord:
    """The record of an evaluation that got so many of 100 images of one class right, the first ones."""
    tallies = [[float(at < right), 1.0] for at in range(100)]
    value = right / 100
    return RuntimeRecord(
        evaluation=Evaluation(
            machine=HERE,
            metrics=[MetricRecord("accuracy", value, (value - 0.05, value + 0.05))],
            tallies=tallies,
            fidelity=FidelityRecord(**fidelity) if fidelity else None,
            seconds=1.0,
        )
    )


HERE = machine.describe("tests")
ROUND = Measurement(
    machine=HERE,
    measured_at="2026-11-24T12:00:00+00:00",
    phases={"load": PhaseRecord(1.0, 5)},
    latency=LatencyRecord([10**6] * 5, 1, 5, 10, "budget", [99_000.0, 100_000.0, 102_000.0], None),
    calls_per_sample=1,
    generation=None,
    memory=MemoryRecord(9, 3, 5, 4, None),
    vram=VramRecord(None, "no GPU"),
    noise=NoiseRecord(0.0, 0.0, 0, 0, 3),
    steady_calls=15,
    gpu_energy_j=None,
    arithmetic="fp32",
    weights_bytes=1000,
)


@dataclass
class Desk:
    """A plan and a store in which every cell was measured; evaluations are put in by the tests."""

    plan: Plan
    store: Store
    engine: Engine

    def put(self, key: str, name: str, content: RuntimeRecord | Manifest) -> None:
        step = self.store.begin(key, {})
        write_json(step / "out" / name, values.dump(content))
        status = StepStatus("ok", seconds=2.0, peak_rss_bytes=7)
        write_json(step / "status.json", values.dump(status))
        kind = self.plan.steps[key].kind
        receipt = Receipt(key, kind, key, 2.0, reference="an image", engine="host", by_hand="run it")
        self.store.publish(key, step, replace(receipt, energy=Energy(3.0, None)))

    def rows(self, evaluations: dict[str, RuntimeRecord]) -> dict[str, Cell]:
        for planned in self.plan.cells:
            if planned.evaluation and planned.cell.id in evaluations:
                self.put(planned.evaluation, "record.json", evaluations[planned.cell.id])
        made = Collector(self.plan, CATALOG, self.engine, "asked for", self.store, {}, HERE).results("")
        return {cell.id: cell for cell in made.cells}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    plan = planner(load.parse(TEXT, "matrix.yaml", CATALOG), CATALOG, devices={"cpu": None}).plan()
    desk = Desk(plan, Store(tmp_path), HostEngine(tmp_path))
    for planned in plan.cells:
        for key in planned.rounds:
            desk.put(key, "record.json", RuntimeRecord(measurement=ROUND))
        int8 = AppliedPass("int8-dynamic", "torch", {}, {}, "", "int8")
        passes = [int8] if planned.cell.method != "original" else []
        facts = tasks.card("image-classification").facts
        assert planned.artifact
        desk.put(planned.artifact, "manifest.json", Manifest("onnx", "int8", **facts, weights=[], passes=passes))
    return desk


def test_a_row_is_ok_where_its_outputs_stay_near(desk: Desk) -> None:
    row = desk.rows({REFERENCE: score(90, None), QUANTIZED: score(89, NEAR)})[QUANTIZED]
    assert row.status is Status.OK
    assert row.fidelity
    assert row.fidelity.model_dump() == {**NEAR, "tolerance": "int8"}
    assert row.energy_j == pytest.approx(0.2)  # 3 J for 15 calls


@pytest.mark.parametrize("others", [100_000, 180_000])
def test_rounds_at_another_pace_are_left_out_of_all_rows_of_a_group_or_of_none(desk: Desk, others: int) -> None:
    """One extra round was slowed; where all rounds of another row were too, it must count as theirs do."""

    def at(pace: int, milliseconds: int) -> RuntimeRecord:
        latency = replace(ROUND.latency, nanoseconds=[milliseconds * 10**6] * 5, pace_ns=[float(pace)] * 3)
        return RuntimeRecord(measurement=replace(ROUND, latency=latency))

    cells = {planned.cell.id: planned for planned in desk.plan.cells}
    desk.put(cells[REFERENCE].extra[0], "record.json", at(180_000, 2))
    for key in cells[QUANTIZED].rounds[1:]:
        shutil.rmtree(desk.store.root / "steps" / key[:2] / key)
        desk.put(key, "record.json", at(others, 1))
    latency = desk.rows({REFERENCE: score(90, None), QUANTIZED: score(89, NEAR)})[REFERENCE].latency_ms
    assert latency
    assert [each.counts for each in latency.rounds] == [True, True, others > 100_000]
    assert (
        latency.rounds[-1].noisy == "the processor ran slower than in the quiet: a fixed loop took 1.80 times as long"
    )


@pytest.mark.parametrize(
    ("right", "fidelity", "told"),
    [
        (89, NEAR | {"top1_agreement": 0.5}, "first choice is the original's at 50.0% of the positions"),
        (89, NEAR | {"kl_divergence": 2.0}, "2 nats"),
        (70, NEAR, "accuracy is 22.2% worse"),
    ],
)
def test_a_row_has_diverged_where_they_do_not(desk: Desk, right: int, fidelity: dict[str, Any], told: str) -> None:
    row = desk.rows({REFERENCE: score(90, None), QUANTIZED: score(right, fidelity)})[QUANTIZED]
    assert row.status is Status.DIVERGED
    assert told in str(row.reason)
    assert row.latency_ms


def test_a_change_of_quality_has_an_interval_of_the_same_examples(desk: Desk) -> None:
    rows = desk.rows({REFERENCE: score(90, None), QUANTIZED: score(86, NEAR)})
    quality = rows[QUANTIZED].quality
    assert quality
    assert quality.change == pytest.approx(-0.04)
    low, high = quality.change_interval or (0, 0)
    assert -0.09 < low < high < 0  # as independent scores they would be 14 points wide, and hold zero
    assert rows[REFERENCE].quality
    assert rows[REFERENCE].quality.change is None


def test_conversion_is_a_phase_of_what_was_converted(desk: Desk) -> None:
    rows = desk.rows({REFERENCE: score(90, None), QUANTIZED: score(89, NEAR)})
    assert rows[QUANTIZED].phases["convert"] == Phase(seconds=4.0, peak_rss_bytes=7)  # export, int8-dynamic
    assert "convert" not in rows[REFERENCE].phases  # the source is loaded as it is
    assert list(rows[QUANTIZED].phases) == ["convert", "load"]


def test_the_reference_says_that_it_is_one(desk: Desk) -> None:
    row = desk.rows({REFERENCE: score(90, None)})[REFERENCE]
    assert row.status is Status.OK
    assert row.fidelity_reason == "all others are compared with this one"


def test_without_a_reference_a_row_says_so_and_stays(desk: Desk) -> None:
    row = desk.rows({QUANTIZED: score(50, None)})[QUANTIZED]
    assert row.status is Status.OK
    assert row.fidelity is None
    assert row.fidelity_reason == "the original could not be evaluated on FP32 PyTorch"
    assert row.quality
    assert row.quality.change is None


def test_a_row_keeps_the_machine_that_measured_it_whoever_collects(desk: Desk) -> None:
    """A store that was copied: another machine of the same id has another name, the rows keep the first one's."""
    there = replace(HERE, name="another name", kernel="newer")
    made = Collector(desk.plan, CATALOG, desk.engine, "asked for", desk.store, {}, there).results("")
    measured = [cell for cell in made.cells if cell.latency_ms]
    assert measured
    assert {cell.machine for cell in measured} == {HERE.id}
    assert made.machines[HERE.id].name == HERE.name
    assert made.machines[HERE.id].kernel == HERE.kernel


def test_the_bootstrap_of_an_evaluation_is_computed_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = desk.rows({REFERENCE: score(90, None), QUANTIZED: score(86, NEAR)})
    monkeypatch.setattr(tasks, "change_interval", lambda *_: pytest.fail("computed again"))
    assert desk.rows({}) == first


@pytest.mark.parametrize("damage", ["{", '{"value": {"intervals": {"accuracy": [0.5, 0.6]}}}', None])
def test_a_kept_interval_that_was_changed_is_computed_again(desk: Desk, damage: str | None) -> None:
    first = desk.rows({REFERENCE: score(90, None), QUANTIZED: score(86, NEAR)})
    (kept,) = desk.store.root.glob("steps/??/*/changes.json")
    if damage is None:
        kept.write_text(kept.read_text("utf-8").replace("-0.0", "-0.9", 1), "utf-8")
    else:
        kept.write_text(damage, "utf-8")
    assert desk.rows({}) == first


def test_an_interval_is_of_this_reference(desk: Desk) -> None:
    desk.rows({REFERENCE: score(90, None), QUANTIZED: score(86, NEAR)})
    reference = next(planned for planned in desk.plan.cells if planned.cell.id == REFERENCE).evaluation
    assert reference
    shutil.rmtree(desk.store.path(reference))
    quality = desk.rows({REFERENCE: score(86, None)})[QUANTIZED].quality
    assert quality
    assert quality.change == 0
    assert quality.change_interval == (0, 0)
