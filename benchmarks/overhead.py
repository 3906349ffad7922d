"""What the harness itself costs: measured in one run, each figure as median [min, max] beside its target.

Run by hand on a quiet machine: ``nox -s bench``. A hand-made model on the ``null`` runtime is all that it needs; the first
run builds what is missing (the null runtime and the PyTorch toolchain). Where ``nox -s matrix`` has finished, its cells are
judged too.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness import tasks
from harness.catalog import load_catalog
from harness.contracts import prepared, values
from harness.contracts.record import Measurement, RuntimeRecord
from harness.contracts.step import MachineName, StepDescription
from harness.engines.contract import Built, Engine, Job, Limits
from harness.engines.registry import choose
from harness.engines.takeover import Bounds
from harness.engines.transfer import PlainShelf
from harness.matrix import load
from harness.matrix.expand import expand
from harness.matrix.keys import runtime_code
from harness.runner.store import Store

REPEATS = 7
WORK = Path(".matrix")
MANIFEST = {
    "format": "hf",
    "precision": "fp32",
    "weights": ["model.safetensors"],
    **tasks.card("image-classification").facts,
}
SAMPLING = {"min_samples": 1000, "min_seconds": 0.2, "max_seconds": 1.0, "precision": 0.01}
# A null call takes well below a microsecond: a second of them would be more samples to read than a real matrix holds.
MATRIX = """
models: [{name: tiny, source: "path:./model", task: image-classification, dataset: "path:./digits.npz"}]
methods: [original]
runtimes: ["null"]
workloads: {image-classification: [{batch: 1, image_size: 8}]}
measure: {rounds: 3, min_samples: 1000, min_seconds: 0.0, max_seconds: 0.1}
limits: {cpus: 1, memory: 1GiB}
"""


def main() -> None:
    """Print the table."""
    engine, reason = choose("auto", WORK)
    print(reason)
    print(f"{'':<44} {'median':>8}  {'[min, max]':<18} {'target':<7} share of it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        records = list(measured(engine, folder))
        calls = [statistics.median(record.latency.nanoseconds) / 1e3 for _, record in records]
        row("harness per call, null runtime", "µs", 5, calls)
        row("a cell beyond its measuring, null", "s", 1, [beyond(seconds, record) for seconds, record in records])
        for image, seconds in stored(engine).items():
            row(f"the same, {image}, the last matrix", "s", 1, seconds)
        run(folder / "matrix.yaml", folder / "reports")
        row(
            "a run with nothing to do, 1 cell",
            "s",
            1,
            timed(lambda: run_again(folder / "matrix.yaml", folder / "reports")),
        )
    if is_finished(Path("matrix.yaml")):
        run(Path("matrix.yaml"), Path("reports"))  # a report of an earlier commit is drawn again once
        row(
            "a run with nothing to do, matrix.yaml",
            "s",
            1,
            timed(lambda: run_again(Path("matrix.yaml"), Path("reports"))),
        )
    row("expanding 10,000 cells, file included", "s", 1, timed(expand_ten_thousand))


def row(name: str, unit: str, target: float, values: Sequence[float]) -> None:
    """One line: what was measured, and whether the median is below the target."""
    middle = statistics.median(values)
    spread = f"[{min(values):.3f}, {max(values):.3f}]"
    word = "pass" if middle < target else "MISS"
    print(f"{name:<44} {middle:8.3f}  {spread:<18} {target:>2g} {unit:<4} {middle / target:5.2f}  {word}", flush=True)


def timed(action: Callable[[], object]) -> list[float]:
    """Wall seconds of a few repeats."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return seconds


# --- one measuring step ------------------------------------------------------------------------------------------------


def write_inputs(folder: Path) -> None:
    """A matrix of one model with one weight and ten classes, its data set, and the inputs of one measuring step."""
    model, data = folder / "model", folder / "data"
    model.mkdir()
    data.mkdir()
    classes = {str(n): str(n) for n in range(10)}
    (model / "config.json").write_text(json.dumps({"id2label": classes, "image_size": 8, "num_channels": 1}))
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    (model / "manifest.json").write_text(json.dumps(MANIFEST))
    images = np.random.default_rng(0).random((40, 8, 8), dtype=np.float32)
    np.savez(folder / "digits.npz", images=images, labels=np.arange(40) % 10)
    prepared.save(data, {}, {"pixel_values": images[:8, None, None]})
    (folder / "matrix.yaml").write_text(MATRIX)


def measured(engine: Engine, folder: Path) -> Iterator[tuple[float, Measurement]]:
    """Wall seconds, from start to exit, and the record of some measuring steps of the null runtime."""
    built = engine.ensure(load_catalog().images["runtimes/null"], engine.places()[0], print)
    for number in range(REPEATS):
        yield measure(engine, built, folder, folder / f"step{number}")


def measure(engine: Engine, built: Built, folder: Path, step: Path) -> tuple[float, Measurement]:
    """Run one step through the engine."""
    (step / "left").mkdir(parents=True)
    place, null = engine.places()[0], load_catalog().runtimes["null"]
    spec = {"runtime": "null", "device": "cpu", "sampling": SAMPLING}
    machine = MachineName(place.machine.id, place.machine.name)
    job = Job(
        key=step.name,
        built=built,
        code=runtime_code("measure", null.module, null.image, None),
        description=StepDescription("measure", spec, 0, 1, machine),
        inputs={"artifact": "model", "data": "data"},
        shelf=PlainShelf({"model": folder / "model", "data": folder / "data"}),
        left=step / "left",
        log=step / "log.txt",
        limits=Limits(1, 2**30, 60),
        place=place,
        bounds=Bounds(),
        measures=True,
    )
    outcome = engine.run(job, lambda _: None)
    record = values.read(RuntimeRecord, job.left / "out" / "record.json").measurement
    assert record, job.log.read_text()
    return outcome.seconds, record


def beyond(seconds: float, record: Measurement) -> float:
    """What a measuring step took beyond import, load, first inference and the steady state."""
    return seconds - sum(phase.seconds for phase in record.phases.values())


def stored(engine: Engine) -> dict[str, list[float]]:
    """The same of the steps that earlier runs of today's images left in the store, by image."""
    images, store = load_catalog().images, Store(WORK)
    found: dict[str, list[float]] = {}
    for receipt in store.receipts():
        image = images.get(receipt.image or "")
        if receipt.kind != "measure" or receipt.engine != engine.name or image is None or image.name == "runtimes/null":
            continue
        entry = store.find(receipt.key) if receipt.environment_hash == image.environment_hash else None
        if entry and (record := entry.record.measurement):
            found.setdefault(image.name.removeprefix("runtimes/"), []).append(beyond(receipt.seconds, record))
    return found


# --- the command line --------------------------------------------------------------------------------------------------


def run(matrix: Path, out: Path) -> str:
    """``harness run`` in a process of its own; what it said."""
    return harness("run", "--progress", "plain", "--matrix", str(matrix), "--out", str(out)).stderr


def run_again(matrix: Path, out: Path) -> None:
    """The same where nothing is left to do."""
    said = run(matrix, out)
    if "nothing to do" not in said:
        raise SystemExit(f"expected a run with nothing to do:\n{said}")


def is_finished(matrix: Path) -> bool:
    """Whether all steps of a matrix have run."""
    plan = json.loads(harness("plan", "--json", "--matrix", str(matrix)).stdout)
    return bool(plan["estimate"]["steps"] == 0)


def harness(*words: str) -> subprocess.CompletedProcess[str]:
    """The command line, with this interpreter."""
    command = [sys.executable, "-m", "harness", *words, "--work", str(WORK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return done


def read(file: Path) -> dict[str, Any]:
    """A JSON object."""
    data: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return data


# --- expansion ---------------------------------------------------------------------------------------------------------


def expand_ten_thousand() -> None:
    """25 models x 20 methods x 2 runtimes x 10 workloads; validation of the file is included."""
    models = "".join(
        f"  - {{name: m{n}, source: 'zoo:digits-cnn', task: image-classification, dataset: 'zoo:digits'}}\n"
        for n in range(25)
    )
    methods = ", ".join(f"{{name: x{n}, passes: [fp16]}}" for n in range(19))
    workloads = ", ".join(f"{{batch: {n + 1}}}" for n in range(10))
    text = (
        f"models:\n{models}methods: [original, {methods}]\nruntimes: [pytorch, onnxruntime]\n"
        f"workloads: {{image-classification: [{workloads}]}}\n"
    )
    assert len(expand(load.parse(text, "bench", load_catalog()))) == 10_000


if __name__ == "__main__":
    main()
