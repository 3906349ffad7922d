"""A run of eight cells in this process: an engine that does each step at once, as its tests say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import tasks
from harness.catalog import Catalog, Image, load_catalog
from harness.catalog.closure import Closure
from harness.contracts import machine, values
from harness.contracts.artifact import MANIFEST, Manifest
from harness.contracts.files import write_json
from harness.contracts.record import (
    Evaluation,
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
from harness.engines.contract import Built, Job, Limits, Outcome, Place, Say
from harness.errors import BuildFailed
from harness.matrix.expand import MatrixCell
from harness.matrix.plan import Plan, PlannedCell, Step
from harness.matrix.spec import Matrix
from harness.runner.interrupt import Interrupts
from harness.runner.progress import Plain
from harness.runner.stages import Run
from harness.runner.store import Store

CATALOG = load_catalog()
HERE = Place("here", {"cpu": None}, machine.describe())
CELLS = "abcdefgh"
ROUNDS = 3
Behaviour = Callable[[Job], Outcome]


@dataclass
class InProcess:
    """An engine that does each step at once, in this process; ``behaviours`` replace single steps, by key."""

    behaviours: Mapping[str, Behaviour] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    ran: list[str] = field(default_factory=list)
    offered: tuple[Place, ...] = (HERE,)
    name: str = "in-process"
    version: str | None = None
    isolation: str = "none"
    caveats: tuple[str, ...] = ()

    def places(self) -> tuple[Place, ...]:
        return self.offered

    def missing(self, image: Image, place: Place) -> bool:
        return True

    def fetch(self, image: Image, place: Place, say: Say) -> None:
        pass

    def ensure(self, image: Image, place: Place, say: Say) -> Built:
        if image.name in self.broken:
            raise BuildFailed(f"{image.name} does not build", log="the end of the log")
        return Built(image, image.name, "sha256:0")

    def refresh(self, image: Image, code: Closure, place: Place, say: Say) -> Built:
        return self.ensure(image, place, say)

    def command(self, job: Job) -> str:
        return "a command"

    def by_hand(self, built: Built, code: Closure, limits: Limits, runtime: str, device: str) -> str:
        return "a command by hand"

    def run(self, job: Job, on_line: Say) -> Outcome:
        self.ran.append(job.key)
        assert all(job.shelf.folder(key).is_dir() for key in job.inputs.values())
        return self.behaviours.get(job.key, succeed)(job)

    def kill(self) -> None:
        pass

    def reap(self) -> int:
        return 0


def round_() -> Measurement:
    """A quiet round."""
    found = measurement().measurement
    assert found
    return found


def measurement(noisy: str | None = None, nanoseconds: int = 1000, pace_ns: float = 100_000) -> RuntimeRecord:
    """A round of one sample on this machine."""
    latency = LatencyRecord([nanoseconds], 1, 1, 0, "precision", [float(pace_ns)] * 3, noisy)
    return RuntimeRecord(
        measurement=Measurement(
            machine=HERE.machine,
            measured_at="2026-01-01T00:00:00+00:00",
            phases={"steady": PhaseRecord(1.0, None)},
            latency=latency,
            calls_per_sample=1,
            generation=None,
            memory=MemoryRecord(2, 1, None, None, None),
            vram=VramRecord(None, "no GPU"),
            noise=NoiseRecord(0.0, 0.0, 0),
            steady_calls=1,
            gpu_energy_j=None,
            arithmetic="fp32",
            weights_bytes=1,
        )
    )


def evaluation() -> RuntimeRecord:
    """Two examples, both right."""
    return RuntimeRecord(
        evaluation=Evaluation(HERE.machine, [MetricRecord("accuracy", 1.0, None)], [[1.0, 1.0]] * 2, None, 1.0)
    )


def succeed(job: Job, noisy: str | None = None, nanoseconds: int = 1000, pace_ns: float = 100_000) -> Outcome:
    """Write what a step of the kind writes."""
    (job.left / "out").mkdir()
    (job.left / "out" / "made.txt").write_text("made")
    if job.description.kind in ("compress", "normalize"):
        manifest = Manifest("hf", "fp32", **tasks.card("image-classification").facts, weights=[])
        write_json(job.left / "out" / MANIFEST, values.dump(manifest))
    if job.description.kind == "measure":
        record = measurement(noisy, nanoseconds, pace_ns)
        assert record.measurement
        there = replace(record.measurement, machine=job.place.machine)
        write_json(job.left / "out" / "record.json", values.dump(replace(record, measurement=there)))
    if job.description.kind == "evaluate":
        write_json(job.left / "out" / "record.json", values.dump(evaluation()))
    write_json(job.left / "status.json", values.dump(StepStatus("ok")))
    return Outcome(0, 0.1)


def say(status: str, reason: str) -> Behaviour:
    def behave(job: Job) -> Outcome:
        (job.left / "status.json").write_text(json.dumps({"status": status, "reason": reason}))
        return Outcome(1, 0.1)

    return behave


def end(log: str = "", **outcome: Any) -> Behaviour:
    """End without a word in ``status.json``."""

    def behave(job: Job) -> Outcome:
        job.log.write_text(log)
        return Outcome(**{"exit_code": 137, "seconds": 0.1, **outcome})

    return behave


def plan(seed: int = 0) -> Plan:
    """Eight cells, each with an artifact of its own, data that all share, three rounds and an evaluation.

    The evaluation of the first is what the others are compared with.
    """
    steps: dict[str, Step] = {}

    def add(key: str, kind: str, image: str, inputs: dict[str, str], **spec: Any) -> None:
        steps[key] = Step(key, kind, key, image, {"key": key, **spec}, inputs, 1, 2**30, 60.0, code=Closure({}))

    add("data", "prepare", "toolchains/torch", {})
    cells = []
    for name in CELLS:
        add(f"artifact-{name}", "compress", "toolchains/torch", {"data": "data"})
        inputs = {"artifact": f"artifact-{name}", "data": "data"}
        compared = {"reference": f"evaluate-{CELLS[0]}"} if name != CELLS[0] else {}
        add(f"evaluate-{name}", "evaluate", "runtimes/null", inputs | compared)
        rounds = tuple(f"measure-{name}-{number}" for number in range(ROUNDS))
        for number, key in enumerate(rounds):
            add(key, "measure", "runtimes/null", inputs, round=number)
        extra = tuple(f"measure-{name}-{number}" for number in range(ROUNDS, ROUNDS + 2))
        for number, key in enumerate(extra, ROUNDS):
            add(key, "measure", "runtimes/null", inputs, round=number)
        cell = MatrixCell(name, "original", "null", "cpu", (("batch", 1),))
        cells.append(PlannedCell(cell, "image-classification", f"artifact-{name}", rounds, extra, f"evaluate-{name}"))
    model = {"name": "a", "source": "zoo:digits-cnn", "task": "image-classification", "dataset": "zoo:digits"}
    axes = {"models": [model], "methods": ["original"], "runtimes": ["null"]}
    matrix = Matrix.model_validate({**axes, "measure": {"seed": seed}})
    return Plan(matrix, steps, cells, frozenset(planned.cell.id for planned in cells))


def pass_over(work: Path, engine: InProcess, interrupts: Interrupts, seed: int = 0, catalog: Catalog = CATALOG) -> Run:
    return Run(plan(seed), catalog, engine, Store(work), Plain(), work, interrupts, lambda image: Closure({}))


def execute(work: Path, engine: InProcess, seed: int = 0, catalog: Catalog = CATALOG) -> Run:
    run = pass_over(work, engine, Interrupts(print, engine.kill), seed, catalog)
    run.execute()
    return run


def kinds(keys: list[str]) -> list[str]:
    return [key.split("-")[0] for key in keys]
