"""A large run of ``null`` cells: whether a cell costs the orchestrator as much at the end as at the beginning.

Run by hand: ``nox -s bench -- load``. 2,000 cells through the host engine take about half an hour; 200 follow through Docker
where an engine answers. What is told of the orchestrator is its own CPU time, without its steps, and its resident memory. The
figures are ratios and costs per cell, so that a busy machine tells the same as a quiet one.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import tasks
from harness.catalog import Catalog, load_catalog
from harness.commands import run as running
from harness.commands.clean import clean
from harness.contracts import prepared, values
from harness.contracts.artifact import MANIFEST, Manifest
from harness.contracts.files import write_json
from harness.engines.registry import choose
from harness.errors import EnvironmentProblem
from harness.matrix.plan import Step
from harness.runner import progress
from harness.runner.progress import Plain
from harness.runner.store.receipt import Receipt
from tests import null_cells

CELLS = {"host": 2000, "docker": 200}
PARTS = 5  # of a run; the last is compared with the second, because the first imports
CPU_RATIO = 1.3  # of a cell at the end over one at the beginning
MEMORY_KB = 25  # resident memory more for each cell of a run
IDLE_S = 2.0  # CPU seconds of a second run
DISK = 0.02  # how far `clean` may be from `du`


class Meter(Plain):
    """Progress that looks at this process after each part of the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = self.ended = 0
        self.looks: list[tuple[float, float]] = []  # CPU seconds and resident megabytes

    def begin(self, steps: int, seconds: float) -> None:
        """The run begins."""
        self.steps = self.steps or steps
        self.look()

    def done(self, step: Step, status: str, seconds: float, remaining_s: float, reason: str | None) -> None:
        """A step has ended."""
        if status != "ok":
            raise SystemExit(f"{step.title}: {status}: {reason}")
        self.ended += 1
        if self.ended % max(1, self.steps // PARTS) == 0:
            self.look()

    def look(self) -> None:
        """Note CPU seconds and resident megabytes."""
        self.looks.append((cpu_s(), resident_mb()))


def main() -> None:
    """Measure with each engine that answers; exit with 1 where a target is missed."""
    kept = [measure(engine, cells) for engine, cells in CELLS.items() if answers(engine)]
    sys.exit(0 if all(kept) else 1)


def answers(engine: str) -> bool:
    """Whether an engine can be used here."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            choose(engine, Path(folder))
        except EnvironmentProblem as problem:
            print(f"{engine}: left out: {problem.problem}")
            return False
    return True


def measure(engine: str, cells: int) -> bool:
    """One run and what follows it, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = null_cells.write(Path(folder), cells, more=['report: {baseline: {runtime: "null"}}'])
        lay_out_data(engine, file)
        first, again = (told(engine, file) for _ in range(2))
        fits = [
            row(engine, "orchestrator's CPU per step, end over beginning", "x", CPU_RATIO, first["cpu_ratio"]),
            row(engine, "orchestrator's CPU per cell", "ms", 0, 1e3 * first["cpu_s"] / cells),
            row(engine, "resident memory, more per cell of the run", "kB", MEMORY_KB, first["growth_kb"]),
            row(engine, "resident memory at most, report included", "MB", 0, first["peak_mb"]),
            row(engine, f"CPU of a second run, {cells} cells", "s", IDLE_S, again["cpu_s"]),
            row(engine, "`clean` over `du`, less one", "", DISK, abs(freed(file.parent / "work") - 1)),
        ]
    return all(fits)


def row(engine: str, name: str, unit: str, target: float, value: float) -> bool:
    """One line; whether the value is below the target, where there is one."""
    word = "" if not target else "pass" if value < target else "MISS"
    aim = f"of {target:g}" if target else ""
    print(f"{engine:<7} {name:<50} {value:9.2f} {unit:<3} {aim:<8} {word}", flush=True)
    return word != "MISS"


def told(engine: str, file: Path) -> dict[str, float]:
    """What a run in another process told of itself."""
    words = [sys.executable, __file__, "run", engine, str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(engine: str, file: Path) -> None:
    """Run the matrix in this process and print figures as JSON."""
    chosen, _ = choose(engine, file.parent / "work")
    meter = Meter()
    progress.make = lambda kind: meter
    running.run(null_cells.opened(file, chosen, lean(load_catalog())))
    found = {"cpu_s": cpu_s(), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if len(meter.looks) > PARTS:
        costs = [after[0] - before[0] for before, after in zip(meter.looks, meter.looks[1:], strict=False)]
        cells = len(json.loads((file.parent / "out" / "results.json").read_text("utf-8"))["cells"])
        growth_mb = meter.looks[PARTS][1] - meter.looks[1][1]
        found |= {
            "cpu_ratio": costs[PARTS - 1] / costs[1],
            "growth_kb": 1e3 * growth_mb / (cells * (PARTS - 1) / PARTS),
        }
    print(json.dumps(found))


def lean(catalog: Catalog) -> Catalog:
    """The catalog with no runtime but ``null``: nothing is compared with PyTorch."""
    return replace(catalog, runtimes={"null": catalog.runtimes["null"]})


def lay_out_data(engine: str, file: Path) -> None:
    """Put models and prepared data of all cells into the store: thousands of steps that import PyTorch would take an hour."""
    chosen, _ = choose(engine, file.parent / "work")
    workspace = null_cells.opened(file, chosen, lean(load_catalog()))
    with workspace.store.lock():
        for step in workspace.plan.steps.values():
            if step.kind not in ("normalize", "prepare"):
                continue
            folder = workspace.store.begin(step.key, {})
            if step.kind == "normalize":
                fetched = workspace.plan.steps[step.inputs["artifact"]]
                write_model(file.parent / fetched.spec["source"].removeprefix("path:"), folder / "out")
            else:
                write_data(step.spec["workload"], folder / "out")
            workspace.store.publish(step.key, folder, Receipt(step.key, step.kind, step.title, 0.0))


def write_model(source: Path, out: Path) -> None:
    """The model as it is: it is none that transformers could load."""
    shutil.copytree(source, out, dirs_exist_ok=True)
    manifest = Manifest("hf", "fp32", **tasks.card("image-classification").facts, weights=["model.safetensors"])
    write_json(out / MANIFEST, values.dump(manifest))


def write_data(workload: Mapping[str, int] | None, out: Path) -> None:
    """Images of nothing, in the shape of a workload or to be scored."""
    if workload:
        size = workload["image_size"]
        arrays = {"pixel_values": np.zeros((prepared.BATCHES, workload["batch"], 1, size, size), np.float32)}
    else:
        arrays = {"pixel_values": np.zeros((20, 1, 8, 8), np.float32), "labels": np.arange(20) % 10}
    prepared.save(out, {}, arrays)


def freed(work: Path) -> float:
    """What ``clean`` would free over what ``du`` tells of the same folders."""
    disk = subprocess.run(["du", "-s", "--block-size=1", work / "steps"], capture_output=True, text=True, check=True)
    return clean(work, 0, with_images=False, dry_run=True)["steps"]["bytes"] / int(disk.stdout.split()[0])


def cpu_s() -> float:
    """CPU seconds of this process, without its children."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_mb() -> float:
    """Megabytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    run(*sys.argv[2:3], Path(sys.argv[3])) if sys.argv[1:2] == ["run"] else main()
