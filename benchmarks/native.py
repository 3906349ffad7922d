"""Our adapters beside the runtimes' own tools: same artifact, same threads, alternating, several rounds.

Run by hand on a quiet machine, after ``nox -s matrix`` has made the artifacts: ``nox -s bench -- native``. Each of
``native/*.py`` measures an artifact with nothing of ours but the data's file format, in the same image as the adapter, and
prints a JSON object ``{"milliseconds": [...]}``. The ratio of the medians is to lie within 0.97 and 1.03.
"""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import stats
from harness.catalog.closure import Closure
from harness.commands import artifact, workspace
from harness.engines.contract import Built, Engine, Limits
from harness.matrix.expand import MatrixCell
from harness.provision.images import hand_reference
from harness.runner.steps import hand_closure

ROUNDS = 7
SECONDS = 3.0
LIMITS = (0.97, 1.03)
SCRIPTS = Path(__file__).parent / "native"


@dataclass(frozen=True)
class Comparison:
    """A cell of matrix.yaml and the native tool that measures the same artifact.

    ``decode``: time per generated token. ``mean``: the tool tells the mean of whole calls only, so means are compared.
    """

    tool: str
    cell: str
    script: str
    decode: bool = False
    mean: bool = False


COMPARISONS = (
    Comparison("torch.utils.benchmark", "digits-cnn/original/pytorch/cpu/b1-i32", "torch_benchmark.py"),
    Comparison("torch.utils.benchmark", "minilm-ner/original/pytorch/cpu/b1-s128", "torch_benchmark.py"),
    Comparison("InferenceSession.run", "digits-cnn/original/onnxruntime/cpu/b1-i32", "onnxruntime_loop.py"),
    Comparison("InferenceSession.run", "minilm-ner/original/onnxruntime/cpu/b1-s128", "onnxruntime_loop.py"),
    Comparison("benchmark_app", "digits-cnn/original/openvino/cpu/b1-i32", "openvino_benchmark_app.py", mean=True),
    Comparison("benchmark_app", "minilm-ner/original/openvino/cpu/b1-s128", "openvino_benchmark_app.py", mean=True),
    Comparison("Interpreter.invoke", "digits-cnn/original/litert/cpu/b1-i32", "litert_loop.py"),
    Comparison("Interpreter.invoke", "minilm-ner/original/litert/cpu/b1-s128", "litert_loop.py"),
    Comparison("llama_perf", "smollm2-135m/original/llamacpp/cpu/b1-p64-g16", "llamacpp_perf.py", decode=True),
)


def main() -> None:
    """Print a line a comparison (or those whose cell holds one of the arguments); exit with 1 where one is outside."""
    print(f"{'tool and cell':<64} {'ours, ms':>9} {'native':>9}  ratio [95 %]")
    wanted = sys.argv[1:] or [""]
    picked = [each for each in COMPARISONS if any(part in each.cell for part in wanted)]
    missed = [comparison for comparison in picked if not report(comparison)]
    sys.exit(bool(missed))


def report(comparison: Comparison) -> bool:
    """Measure and print; whether the ratio lies within the limits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, native = commands(comparison, folder)
        rounds = [(middle(ours, comparison), middle(native, comparison)) for _ in range(ROUNDS)]
    mine, theirs = ([pair[side] for pair in rounds] for side in (0, 1))
    found = stats.compare(theirs, mine)  # "theirs are so many times faster": ours over native
    low, high = found.interval or (found.speedup, found.speedup)
    within = LIMITS[0] <= found.speedup <= LIMITS[1]
    times = f"{stats.geometric_mean(mine):9.4f} {stats.geometric_mean(theirs):9.4f}"
    word = "pass" if within else "MISS"
    name = f"{comparison.tool} {comparison.cell}"
    print(f"{name:<64} {times}  {found.speedup:.3f} [{low:.3f}, {high:.3f}]  {word}", flush=True)
    return within


def middle(command: list[str], comparison: Comparison) -> float:
    """Milliseconds of one call (or of one generated token), median or mean, in a fresh process."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{done.stderr}")
    record: dict[str, Any] = json.loads(done.stdout)
    average = statistics.fmean if comparison.mean else statistics.median
    if "milliseconds" in record:
        return average(record["milliseconds"])
    if comparison.decode:
        tokens = record["calls_per_sample"] - 1
        return statistics.median(record["generation"]["decode_ns"]) / tokens / 1e6
    return average(record["latency"]["nanoseconds"]) / 1e6


def commands(comparison: Comparison, folder: Path) -> tuple[list[str], list[str]]:
    """The worker's command line and that of the native tool, both on the artifact in ``folder``."""
    job = workspace.open_(
        matrix_file=Path("matrix.yaml"), work=Path(".matrix"), engine="auto", out=folder, cells=[comparison.cell]
    )
    artifact.lay_out(job, folder / "artifact")
    (planned,) = job.plan.wanted
    image = job.catalog.image_of(job.catalog.runtimes[planned.cell.runtime], planned.cell.device)
    code = hand_closure(job.catalog, image)
    built = job.engine.refresh(image, code, job.engine.places()[0], lambda line: None)
    limits = Limits(job.matrix.limits.cpus, job.matrix.limits.memory, 600.0)
    ours = by_hand(job.engine, built, code, limits, planned.cell, folder)
    return [*ours, "--seconds", str(SECONDS), "--json"], list(instead(ours, built, SCRIPTS / comparison.script, limits))


def by_hand(engine: Engine, built: Built, code: Closure, limits: Limits, cell: MatrixCell, folder: Path) -> list[str]:
    """The engine's own command line for the worker by hand, with the artifact's path filled in."""
    line = engine.by_hand(built, code, limits, cell.runtime, cell.device).replace("$PWD", str(folder))
    return [str(folder / "artifact") if word == "artifact" else word for word in shlex.split(line)]


def instead(ours: list[str], built: Built, script: Path, limits: Limits) -> Iterator[str]:
    """The same command line with a script in the place of the worker: ``SCRIPT ARTIFACT THREADS SECONDS``."""
    at = next(at for at, word in enumerate(ours) if word in (built.reference, hand_reference(built.image)))
    arguments = [str(limits.cpus), str(SECONDS)]
    if ours[0] == "docker":
        mounted = ["--volume", f"{script.resolve()}:/native.py:ro", "--entrypoint", "python"]
        yield from [*ours[:at], *mounted, built.reference, "/native.py", "/artifact", *arguments]
    else:
        artifact = next(word for word in ours[at:] if word.endswith("/artifact"))
        yield from [*ours[: at + 1], str(script.resolve()), artifact, *arguments]


if __name__ == "__main__":
    main()
