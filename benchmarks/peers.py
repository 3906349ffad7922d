"""Our harness beside optimum-benchmark: the same ONNX file, runtime and threads, in turns, several rounds.

Run by hand on a quiet machine, after ``nox -s matrix`` has made the artifacts: ``nox -s bench -- peers``. optimum-benchmark
(https://github.com/huggingface/optimum-benchmark) gets a virtual environment of its own from ``peers/requirements.txt``.
Both run as processes of this machine, ours through the ``venv`` engine: so both have the same interpreter, processors and
variables, and no daemon stands between a process and the kernel's account of it. A round is, each in a fresh process:

- ours, as ``docs/methodology.md`` says;
- theirs with the launcher ``process``, its default, and with ``inline``, each told to take what we take at least: 30 calls
  and 1 s, with memory tracked;
- a bare loop around ``InferenceSession.run`` (``native/onnxruntime_loop.py``), which says whose latency is right;
- ours once more without its restarts of ``VmHWM``, for the kernel's mark of the whole process (``peers/marked.py``).

Where they differ clearly, it is for their default launcher, which spins on a processor of the measured process, and for the
Optimum model that wraps each call; ours shows no difference to the bare loop. Both are right about RAM, each of its own
process, and theirs holds PyTorch as well; figures and reasons are in ``docs/methodology.md``, "Beside optimum-benchmark".

A process beside which others took more than 10 % of the machine's time is run again, three times at most.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import yaml
from native import by_hand, instead

from harness import stats
from harness.commands import artifact, workspace
from harness.contracts.step import thread_variables
from harness.engines.contract import Built, Limits
from harness.engines.job import cpu_set
from harness.runner.steps import hand_closure
from harness.worker.environment import Snapshot

ROUNDS = 8
TRIES = 4  # of a process that others disturbed
NOISY = 0.1  # of the machine's time, as in docs/methodology.md
SECONDS = 3.0  # our budget; both take 30 calls and 1 s at least
WORK = Path(".matrix")
HERE = Path(__file__).resolve().parent
CELLS = ("minilm-ner/original/onnxruntime/cpu/b1-s128", "digits-cnn/original/onnxruntime/cpu/b1-i32")
LAUNCHERS = {"process": "Process-1", "inline": "MainProcess"}  # and the name of the process that runs the model
TARGETS = ("load_model", "first_forward", "forward")


@dataclass(frozen=True)
class Ended:
    """A process that has ended, with all its children."""

    said: str
    wall_s: float
    noise: float  # share of the machine's time that others took meanwhile
    marks: dict[str, float]  # VmHWM in MB, by the names of processes


@dataclass(frozen=True)
class Measured:
    """What a harness told, and what the kernel says of it."""

    ended: Ended
    milliseconds: Sequence[float]  # of the timed calls, or of every so many
    reported: Mapping[str, float]  # RAM in MB, by what the harness calls it
    measurer: str = "MainProcess"  # the name of the process that ran the model
    every: int = 1  # of how many calls one was kept

    @property
    def median(self) -> float:
        """Median of the calls, ms."""
        return statistics.median(self.milliseconds)

    @property
    def kernel(self) -> float:
        """The largest resident set of the process that ran the model, MB."""
        return self.ended.marks[self.measurer]


def main() -> None:
    """Print the tables of each cell, or of those whose id holds one of the arguments."""
    wanted = sys.argv[1:] or [""]
    python = their_python()
    for cell in CELLS:
        if any(part in cell for part in wanted):
            with tempfile.TemporaryDirectory() as name:
                report(cell, rounds(cell, Path(name), python))


def their_python() -> Path:
    """The interpreter of optimum-benchmark's environment, made where it is missing or its requirements have changed."""
    requirements = HERE / "peers" / "requirements.txt"
    folder = WORK.resolve() / "peers" / hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    python, complete = folder / "bin" / "python", folder / ".complete"
    if not complete.exists():
        print(f"making {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(requirements)], check=True)
        complete.touch()
    return python


# --- measuring -----------------------------------------------------------------------------------------------------------


def rounds(cell: str, folder: Path, python: Path) -> dict[str, list[Measured]]:
    """All sides in turns, each round beginning with another, for what runs first may find another machine."""
    sides = {**our_sides(cell, folder), **their_sides(cell, folder, python)}
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(ROUNDS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].append(quiet(sides[name]))
        told = ", ".join(f"{name} {side[-1].median:.3f} ms" for name, side in found.items())
        print(f"{cell}: round {number + 1} of {ROUNDS}: {told}", file=sys.stderr, flush=True)
    return found


def quiet(side: Callable[[], Measured]) -> Measured:
    """Measure until nothing else disturbed it; else the try that was disturbed least."""
    tries: list[Measured] = []
    while len(tries) < TRIES and not (tries and tries[-1].ended.noise <= NOISY):
        tries.append(side())
    return min(tries, key=lambda each: each.ended.noise)


def our_sides(cell: str, folder: Path) -> dict[str, Callable[[], Measured]]:
    """The worker by hand, the same without restarts of the mark, and the bare loop."""
    job = workspace.open_(matrix_file=Path("matrix.yaml"), work=WORK, engine="venv", out=folder, cells=[cell])
    artifact.lay_out(job, folder / "artifact")
    shutil.rmtree(folder / "artifact" / "data" / "evaluation")  # theirs does not look at quality
    (planned,) = job.plan.wanted
    image = job.catalog.image_of(job.catalog.runtimes[planned.cell.runtime], planned.cell.device)
    code = hand_closure(job.catalog, image)
    built = job.engine.refresh(image, code, job.engine.places()[0], lambda line: print(line, file=sys.stderr))
    limits = Limits(job.matrix.limits.cpus, job.matrix.limits.memory, 600.0)
    command = by_hand(job.engine, built, code, limits, planned.cell, folder)
    loop = list(instead(command, built, HERE / "native" / "onnxruntime_loop.py", limits))
    options = ["--seconds", str(SECONDS), "--json"]
    marked = [*marked_worker(command, built), *options]
    return {
        "ours": lambda: ours([*command, *options], folder),
        "marked": lambda: ours(marked, folder),
        "bare": lambda: bare(loop, folder),
    }


def marked_worker(command: Sequence[str], built: Built) -> list[str]:
    """The worker's command line with ``marked.py worker`` in the place of ``-m harness.worker``."""
    at = command.index(built.reference) + 1
    assert command[at] == "-m"
    return [*command[:at], str(HERE / "peers" / "marked.py"), "worker", *command[at + 2 :]]


def ours(command: list[str], folder: Path) -> Measured:
    """Run the worker and read its record."""
    ended = run(command, folder)
    record = json.loads(ended.said)
    calls = [each / 1e6 for each in record["latency"]["nanoseconds"]]
    reported = {"peak": record["memory"]["peak_rss_bytes"] / 1e6}
    return Measured(ended, calls, reported, every=record["latency"]["every"])


def bare(command: list[str], folder: Path) -> Measured:
    """Run the loop that is nothing but the call."""
    ended = run(command, folder)
    return Measured(ended, json.loads(ended.said)["milliseconds"], {})


def their_sides(cell: str, folder: Path, python: Path) -> dict[str, Callable[[], Measured]]:
    """optimum-benchmark with each launcher, on a folder with our graph and the configuration of the checkpoint."""
    checkpoint, model = folder / "checkpoint", folder / "model"
    other = cell.replace("/onnxruntime/", "/pytorch/")
    job = workspace.open_(matrix_file=Path("matrix.yaml"), work=WORK, engine="venv", out=folder, cells=[other])
    artifact.lay_out(job, checkpoint)
    manifest = json.loads((checkpoint / "manifest.json").read_text("utf-8"))
    model.mkdir()
    for file in [*checkpoint.glob("*.json"), *(folder / "artifact").glob("model.onnx*")]:
        if file.name != "manifest.json":
            shutil.copy(file, model)
    (planned,) = job.plan.wanted
    configuration = {
        "defaults": ["benchmark", {"scenario": "inference"}, {"backend": "onnxruntime"}, "_self_"],
        "name": "peer",
        "backend": {
            "model": str(model),
            "task": manifest["task"],
            "library": "transformers",
            "device": "cpu",
            "session_options": {"intra_op_num_threads": job.matrix.limits.cpus, "inter_op_num_threads": 1},
        },
        "scenario": {
            "iterations": 30,
            "duration": 1,
            "input_shapes": shapes(dict(planned.cell.workload)),
            "latency": True,
            "memory": True,
        },
    }
    (folder / "peer.yaml").write_text(yaml.safe_dump(configuration), "utf-8")
    variables = {"HF_HUB_OFFLINE": "1", **thread_variables(job.matrix.limits.cpus)}
    words = ["env", *(f"{name}={value}" for name, value in variables.items())]
    words += ["taskset", "-c", cpu_set(job.matrix.limits.cpus)] if shutil.which("taskset") else []
    words += [str(python), str(HERE / "peers" / "marked.py"), "optimum-benchmark"]
    words += ["--config-dir", str(folder), "--config-name", "peer", "hydra.job.chdir=true"]
    return {
        name: functools.partial(theirs, [*words, f"+launcher={name}"], folder, measurer)
        for name, measurer in LAUNCHERS.items()
    }


def shapes(workload: dict[str, int]) -> dict[str, int]:
    """A workload in their words."""
    names = {"batch": "batch_size", "sequence_length": "sequence_length"}
    return {names[name]: value for name, value in workload.items() if name in names}


def theirs(command: list[str], folder: Path, measurer: str) -> Measured:
    """Run optimum-benchmark and read its report; the process ``measurer`` runs the model, and must have left its mark."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        ended = run([*command, f"hydra.run.dir={out}"], folder)
        report = json.loads(Path(out, "benchmark_report.json").read_text("utf-8"))
    calls = [1e3 * each for each in report["forward"]["latency"]["values"]]
    reported = {target: report[target]["memory"]["max_ram"] for target in TARGETS}
    if measurer not in ended.marks:
        raise SystemExit(f"{measurer} left no mark, only {', '.join(ended.marks)} did: run this again")
    return Measured(ended, calls, reported, measurer)


def run(command: list[str], folder: Path) -> Ended:
    """Run to the end. What the children took is ours; the rest of the machine's time was others'."""
    with tempfile.TemporaryDirectory(dir=folder) as marks:
        before, mine, start = Snapshot.take(), children_s(), perf_counter()
        variables = {**os.environ, "MARKS": marks}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=variables)
        wall, after = perf_counter() - start, Snapshot.take()
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        others = after.busy_s - before.busy_s - (children_s() - mine)
        left = {file.name: int(file.read_text()) / 1e6 for file in Path(marks).glob("[!.]*")}
    return Ended(done.stdout, wall, others / (after.total_s - before.total_s), left)


def children_s() -> float:
    """CPU seconds of all processes below this one that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# --- telling -------------------------------------------------------------------------------------------------------------


def report(cell: str, found: dict[str, list[Measured]]) -> None:
    """Three tables: latency, RAM, wall time."""
    times = {name: [each.median for each in side] for name, side in found.items()}
    print(f"\n{cell}, {ROUNDS} rounds")
    print(f"\n{'median latency':<36} {'ms':>8}  over the bare loop's       ours over it")
    for name in ("bare", "ours", *LAUNCHERS):
        shares = f"{ratio(times[name], times['bare']):<26} {ratio(times['ours'], times[name])}"
        print(f"{name:<36} {stats.geometric_mean(times[name]):8.3f}  {shares}")
    print(f"\n{'RAM':<36} {'MB':>8}  over the kernel's")
    for name, marked in (("ours", "marked"), *((name, name) for name in LAUNCHERS)):
        kernel = [each.kernel for each in found[marked]]
        print(f"{name + ': VmHWM, the kernel':<36} {statistics.median(kernel):8.1f}")
        for what in found[name][0].reported:
            told = [each.reported[what] for each in found[name]]
            print(f"{name + ': ' + what:<36} {statistics.median(told):8.1f}  {ratio(told, kernel)}")
    idle = [each.ended.marks["MainProcess"] for each in found["process"]]
    print(f"{'process: its launcher, without model':<36} {statistics.median(idle):8.1f}")
    print(f"\n{'wall time of a cell':<36} {'s':>8}  over ours                  s in timed calls")
    for name in ("ours", *LAUNCHERS):
        wall = [each.ended.wall_s for each in found[name]]
        shares = f"{ratio(wall, [each.ended.wall_s for each in found['ours']]):<26}"
        calls = statistics.median(each.every * sum(each.milliseconds) / 1e3 for each in found[name])
        print(f"{name:<36} {statistics.median(wall):8.1f}  {shares} {calls:.1f}")
    noisy = sum(each.ended.noise > NOISY for side in found.values() for each in side)
    print(f"\n{noisy} of {ROUNDS * len(found)} processes were disturbed by others in all {TRIES} tries", flush=True)


def ratio(one: Sequence[float], other: Sequence[float]) -> str:
    """Geometric mean of the rounds' ratios, and the smallest and the largest."""
    each = [mine / yours for mine, yours in zip(one, other, strict=True)]
    return f"{stats.geometric_mean(each):.3f} [{min(each):.3f}, {max(each):.3f}]"


if __name__ == "__main__":
    main()
