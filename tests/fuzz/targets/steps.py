"""Step folders: what a container wrote and what the store keeps, through the typed readers and through a whole run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from harness.catalog.closure import Closure
from harness.collect.rows import Collector
from harness.contracts import values
from harness.contracts.artifact import AppliedExport, AppliedPass, Manifest
from harness.contracts.record import Evaluation, FidelityRecord, GenerationRecord, MetricRecord, RuntimeRecord
from harness.contracts.step import MachineName, StepDescription, StepStatus
from harness.contracts.values import Damaged
from harness.engines.contract import Job, Outcome
from harness.matrix.plan import Plan
from harness.report.files.data import as_csv
from harness.report.files.markdown import render_markdown
from harness.report.table.build import build
from harness.results import Results
from harness.runner.interrupt import Interrupts
from harness.runner.stages import Run
from harness.runner.store import RECEIPT, Store
from harness.runner.store.receipt import Energy, Receipt
from tests import in_process
from tests.fuzz.mutations import mutated, mutated_json
from tests.fuzz.target import Target

VALUES = ("ok", "unsupported", "oom-host", "a" * 70, [0], [-1], [[0.0]], [0, 0, 0], 10**400, "@@deep")


def _encoded(value: object) -> bytes:
    return json.dumps(asdict(value)).encode()  # type: ignore[call-overload]


def _of(name: str, good: tuple[bytes, ...], read: Callable[[bytes, Path], object], weight: float) -> Target:
    seeds = [json.loads(each) for each in good]
    return Target(name, good, mutated_json(seeds, VALUES) | mutated(good), read, (Damaged,), weight)


def read_as(cls: type, data: bytes, folder: Path) -> None:
    """Through the typed reader."""
    (folder / "value.json").write_bytes(data)
    values.read(cls, folder / "value.json")


ROUND = in_process.round_()
ROUNDS = (
    RuntimeRecord(measurement=ROUND),
    RuntimeRecord(measurement=replace(ROUND, generation=GenerationRecord([5, 6], [7, 8], [9]), gpu_energy_j=1.0)),
)
SCORES = (
    RuntimeRecord(
        evaluation=Evaluation(
            ROUND.machine,
            [MetricRecord("accuracy", 0.5, (0.4, 0.6))],
            [[1.0], [0.0]],
            FidelityRecord(3, 0.9, 0.1, 0.5),
            1.0,
        )
    ),
)
REFUSAL = RuntimeRecord(unsupported="it cannot")
MANIFEST = Manifest(
    "onnx",
    "int8",
    *("image-classification", "forward", "image", "AutoModel"),
    weights=["made.txt"],
    passes=[AppliedPass("int8", "torch", {"a": 1}, {"b": 2.5}, "a paper", "int8")],
    exports=[AppliedExport("onnx", "torch", {}, "a manual")],
    provenance=["a hub"],
    tools={"onnx": "1"},
)
STATUSES = (StepStatus("ok", None, 1.5, 2**20, {"numpy": "2"}), StepStatus("oom-host", "it needs more"))


# --- a whole run --------------------------------------------------------------------------------------------------------


def _plan() -> Plan:
    """Three cells, whose evaluations are compared with the first's; the second is the hostile one."""
    whole = in_process.plan()
    cells = [replace(cell, rounds=cell.rounds[:1], extra=cell.extra[:1]) for cell in whole.cells[:3]]
    return replace(whole, cells=cells, picked=frozenset(cell.cell.id for cell in cells))


class Silent:
    """Progress that nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *told: None


PLAN = _plan()


def leave(name: str, data: bytes, job: Job) -> Outcome:
    """Say ``ok``, and leave these bytes as one of the files."""
    outcome = in_process.succeed(job)
    (job.left / name).write_bytes(data)
    return outcome


def run_with(key: str, name: str, data: bytes, folder: Path) -> Results:
    """Whatever one step of the second cell leaves: both other cells are measured, and the table is made."""
    engine = in_process.InProcess({key: partial(leave, name, data)})
    store = Store(folder, lambda line: None)
    run = Run(
        PLAN,
        in_process.CATALOG,
        engine,
        store,
        Silent(),
        folder,
        Interrupts(print, engine.kill),
        lambda image: Closure({}),
    )
    run.execute()
    collector = Collector(PLAN, in_process.CATALOG, engine, "asked for", store, run.failures, in_process.HERE.machine)
    results = collector.results("")
    assert [cell.status for cell in results.cells if cell.model != "b"] == ["ok", "ok"]
    table = build(results)
    as_csv(table)
    render_markdown(results, table, [])
    return results


# --- the store ----------------------------------------------------------------------------------------------------------


def find(data: bytes, folder: Path) -> None:
    """A spoiled receipt costs its step only."""
    store = Store(folder, lambda line: None)
    for key in ("aa" * 32, "bb" * 32):
        step = store.begin(key, {})
        (step / "out" / "file").write_text("made")
        path = store.publish(key, step, Receipt(key, "fetch", "a step", 1.0)).path
    (path / RECEIPT).write_bytes(data)
    later = Store(folder, lambda line: None)
    lock = later.lock()
    try:
        assert later.output("aa" * 32)
        list(later.receipts())
        found = later.find("bb" * 32)
        assert found is None or found.receipt == Receipt("bb" * 32, "fetch", "a step", 1.0, found.receipt.files)
    finally:
        lock.release()


def _run_of(name: str, key: str, file: str, values_: tuple[object, ...]) -> Target:
    good = tuple(map(_encoded, values_))
    return replace(_of(name, good, partial(run_with, key, file), 0.1), refusals=())


RECEIPTS = (
    Receipt("aa", "measure", "a step", 1.5, {"out/record.json": "0" * 64}, energy=Energy(1.0, None), facts={"a": 1}),
)
DESCRIPTION = StepDescription("measure", {"round": 1}, 0, 2, MachineName("a", "b"))
TARGETS = (
    _of("record.json", tuple(map(_encoded, (*ROUNDS, *SCORES, REFUSAL))), partial(read_as, RuntimeRecord), 1),
    _of("manifest.json", (_encoded(MANIFEST),), partial(read_as, Manifest), 1),
    _of("status.json", tuple(map(_encoded, STATUSES)), partial(read_as, StepStatus), 1),
    _of("step.json", (_encoded(DESCRIPTION),), partial(read_as, StepDescription), 0.5),
    _of("receipt", tuple(map(_encoded, RECEIPTS)), partial(read_as, Receipt), 0.5),
    replace(_of("store", tuple(map(_encoded, RECEIPTS)), find, 0.3), refusals=()),
    _run_of("run: measure", "measure-b-0", "out/record.json", ROUNDS),
    _run_of("run: evaluate", "evaluate-b", "out/record.json", (*SCORES, REFUSAL)),
    _run_of("run: compress", "artifact-b", "out/manifest.json", (MANIFEST,)),
    _run_of("run: status", "measure-b-0", "status.json", STATUSES),
)
