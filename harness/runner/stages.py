"""Run a plan: make what is missing, in an order that is fair to what is measured, and lose nothing that is done.

Images and conversions come first, side by side, for hardly one of them keeps two cores busy; then, each alone on the machine,
the rounds of all cells, interleaved and shuffled, so that drift of the machine hits all alike, and more rounds of those that
were noisy or differ much; then evaluation, side by side again, each in one thread: threads that wait for each other on shared
cores, many of them spinning, would take several times longer. One bad step never stops the others: what depends on it inherits
its reason.
"""

from __future__ import annotations

import errno
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from harness import sources
from harness.catalog import Catalog, Image
from harness.engines import Engine, Environment, Job, Limits, Outcome
from harness.engines.energy import PackageEnergy
from harness.errors import BuildFailed, EnvironmentProblem, HarnessError
from harness.matrix import source
from harness.matrix.plan import OPTIONAL, Plan, Step, describe
from harness.results import Status
from harness.runner import rounds
from harness.runner.estimate import History
from harness.runner.interrupt import Interrupts
from harness.runner.progress import Progress
from harness.runner.schedule import Task, side_by_side
from harness.runner.store import Entry, Store

SIDE_BY_SIDE = 2  # builds, and steps that are not measured: while one reads, imports or traces, the other computes


@dataclass(frozen=True)
class Failure:
    """Why a step, and all that needs it, has no output."""

    status: Status
    reason: str
    log_tail: str | None = None
    origin: str | None = None  # title of the step where it happened


def missing_steps(plan: Plan, store: Store) -> list[Step]:
    """Steps of the picked cells that have to run, each after its inputs; extra rounds as far as they are known to be needed."""
    leaves = [key for planned in plan.wanted for key in planned.leaves] + list(plan.overhead)
    needed: set[str] = set()
    pending = [key for key in leaves if not store.find(key)]
    while pending:
        key = pending.pop()
        if key not in needed and not store.find(key):
            needed.add(key)
            pending.extend(plan.steps[key].inputs.values())
    return [step for key, step in plan.steps.items() if key in needed] + rounds.extra(plan, store)


@dataclass
class Run:
    """One pass over a plan. ``failures`` says afterwards what did not work, by step key."""

    plan: Plan
    catalog: Catalog
    engine: Engine
    store: Store
    progress: Progress
    base: Path  # folder of the matrix file: `path:` sources are relative to it
    interrupts: Interrupts
    failures: dict[str, Failure] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    ran: int = 0
    _history: History = field(default_factory=History)
    _remaining: dict[str, Step] = field(default_factory=dict)
    _telling: threading.Lock = field(default_factory=threading.Lock)  # one voice at a time
    _repairing: threading.RLock = field(default_factory=threading.RLock)

    def execute(self) -> None:
        """Run all that is missing. Raises Interrupted after Ctrl-C, EnvironmentProblem when the disk is full."""
        for planned in self.plan.cells:
            for key in planned.leaves:
                self.store.output(key)  # a damaged record is thrown away, so that it is missing
        missing = missing_steps(self.plan, self.store)
        if not missing:
            return
        self._history = History.of(self.store)
        self._remaining = {step.key: step for step in missing}
        self.engine.reap()
        self.progress.begin(len(missing), self._history.total(missing))
        try:
            images = [self.catalog.images[name] for name in self.plan.images(step.key for step in missing)]
            preparation = [step for step in missing if step.kind not in ("measure", "evaluate")]
            self._side_by_side([*self._builds(images), *self._tasks(preparation)])
            self._one_by_one(self._shuffled(step for step in missing if step.measures))
            while extra := [step for step in rounds.extra(self.plan, self.store) if step.key not in self.failures]:
                self._remaining |= {step.key: step for step in extra}
                self._say(f"{len(extra)} more rounds, of cells whose rounds were noisy or differ much")
                self.progress.begin(len(self._remaining), self._history.total(self._remaining.values()))
                self._one_by_one(self._shuffled(extra))
            self._side_by_side(self._tasks(step for step in missing if step.kind == "evaluate"))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                cure = "free some space, or `harness clean`; what is done is kept: run the same command again"
                raise EnvironmentProblem(f"no space left on the disk of {self.store.root}", cure) from None
            raise
        finally:
            self.progress.end()

    def _one_by_one(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.interrupts.check()
            self._run(step)

    def _side_by_side(self, tasks: Sequence[Task]) -> None:
        memory = psutil.virtual_memory().total
        steps = SIDE_BY_SIDE if SIDE_BY_SIDE * self.plan.matrix.limits.memory <= memory else 1
        side_by_side(
            tasks, {"download": 1, "build": SIDE_BY_SIDE, "step": steps, "step on cuda": 1}, self.interrupts.check
        )

    def _tasks(self, steps: Iterable[Step]) -> list[Task]:
        return [
            Task(
                step.key,
                _lane(step),
                frozenset(step.inputs.values()) | {f"build {step.image}"},
                partial(self._run, step),
            )
            for step in steps
        ]

    def _shuffled(self, steps: Iterable[Step]) -> list[Step]:
        """Round by round, within a round in an order drawn with the recorded seed."""
        draw = random.Random(self.plan.matrix.measure.seed)
        return sorted(steps, key=lambda step: (int(step.spec.get("round", 0)), draw.random()))

    def _builds(self, images: Iterable[Image]) -> list[Task]:
        """Fetching and building every image, each a task of its own: the next is fetched while others are built.

        What compiles a package takes longest, so it begins first; only one image of those that need the same wheel.
        """
        tasks = []
        for image in sorted(images, key=lambda image: image.kind == "runtimes" or not image.compiled):
            fetch, build = f"fetch {image.name}", f"build {image.name}"
            tasks.append(Task(fetch, "download", frozenset(), partial(self._prepare_image, image, self._fetch_image)))
            tasks.append(
                Task(build, "build", frozenset({fetch}), partial(self._prepare_image, image, self._build_image))
            )
        return tasks

    def _prepare_image(self, image: Image, do: Callable[[Image], None]) -> None:
        """Fetch or build an image; one that fails becomes the failure of its steps."""
        if image.name in self.failures:
            return
        try:
            do(image)
        except BuildFailed as failed:
            self._say(f"build-failed {image.name}: {failed}")
            self.failures[image.name] = Failure(Status.BUILD_FAILED, failed.problem, failed.log_tail)

    def _fetch_image(self, image: Image) -> None:
        if self.engine.missing(image):
            self.engine.fetch(image, partial(self._inside, image.name, None))

    def _build_image(self, image: Image) -> None:
        if self.engine.missing(image):
            self._say(f"building {image.name} (once; about {image.build_s} s)")
        self.environments[image.name] = self.engine.ensure(image, partial(self._inside, image.name, None))

    # --- one step ------------------------------------------------------------------------------------------------------

    def _run(self, step: Step) -> None:
        start = time.monotonic()
        with self._telling:
            self.progress.step(step)
        failure = self._make(step)
        status = "ok" if failure is None else failure.status
        reason = failure.reason if failure else None
        if failure and failure.origin not in (None, step.title):
            reason = f"needs: {failure.origin}"  # told in full where it happened
        with self._telling:
            self._remaining.pop(step.key, None)
            remaining_s = self._history.total(self._remaining.values())
            self.progress.done(step, status, time.monotonic() - start, remaining_s, reason)

    def _make(self, step: Step) -> Failure | None:
        """Make a step's output unless it is there; remembers and returns its failure."""
        if step.key in self.failures:
            return self.failures[step.key]
        inputs: dict[str, Path] = {}
        for name, key in step.inputs.items():
            # A damaged input was thrown away by the store just now, so it is made again here, once for all that need it.
            with self._repairing:
                if self.store.output(key) is None and (failure := self._make(self.plan.steps[key])):
                    if name in OPTIONAL:
                        continue
                    self.failures[step.key] = failure
                    return failure
                inputs[name] = self._output(key)
        failure = self._fetch(step) if step.kind == "fetch" else self._in_engine(step, inputs)
        self.ran += 1
        if failure:
            self.failures[step.key] = failure
        return failure

    def _output(self, key: str) -> Path:
        output = self.store.output(key)
        assert output is not None
        return output

    def _fetch(self, step: Step) -> Failure | None:
        folder = self.store.begin(step.key, describe(step))
        start = time.monotonic()
        try:
            facts = sources.fetch(
                source.parse(step.spec["source"]),
                folder / "out",
                sha256=step.spec["sha256"],
                base=self.base,
                cache=self.store.root / "wheels",
                trust=step.spec["trust"],
                say=partial(self._inside, step.title, None),
            )
            if step.spec["task"]:
                sources.write_manifest(folder / "out", facts, step.spec["task"])
        except HarnessError as error:
            reason = " ".join(error.problem.split()) + (f"; {error.cure}" if error.cure else "")
            failure = Failure(Status.CONVERT_FAILED, reason, str(error), step.title)
            self.store.reject(step.key, folder, {"status": failure.status, "reason": failure.reason}, _receipt(step))
            return failure
        self.store.publish(step.key, folder, {**_receipt(step), "seconds": time.monotonic() - start, "facts": facts})
        return None

    def _in_engine(self, step: Step, inputs: dict[str, Path]) -> Failure | None:
        assert step.image is not None
        if built := self.failures.get(step.image):
            return built
        folder = self.store.begin(step.key, describe(step))
        limits = Limits(step.cpus, step.memory_bytes, step.timeout_s)
        environment = self.environments.get(step.image) or self.engine.ensure(
            self.catalog.images[step.image], lambda line: None
        )
        job = Job(environment, folder, inputs, limits, step.device)
        energy = PackageEnergy.of_this_machine()
        outcome = self.engine.run(job, energy.on_line if step.measures else partial(self._line, step.title))
        self.interrupts.check_killed()
        receipt = _receipt(step) | {
            "engine": self.engine.name,
            "command": self.engine.command(job),
            "reference": environment.reference,
            "digest": environment.digest,
            "source_hash": environment.image.source_hash,
            "seconds": outcome.seconds,
            "exit_code": outcome.exit_code,
        }
        if step.measures:  # nothing else of ours works meanwhile
            receipt["package_energy"] = {"joules": energy.joules, "reason": energy.reason}
        if runtime := step.spec.get("runtime"):
            receipt["by_hand"] = self.engine.by_hand(environment, limits, runtime, step.device)
        status = Entry(folder).status
        if status.get("status") == Status.OK:
            self.store.publish(step.key, folder, receipt)
            return None
        failure = _why(status, outcome, step, Entry(folder).log_tail())
        self.store.reject(step.key, folder, {"status": failure.status, "reason": failure.reason}, receipt)
        return failure

    def _line(self, subject: str, line: str) -> None:
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[0] == "progress":
            self._inside(subject, float(words[1]), words[2])

    def _say(self, message: str) -> None:
        with self._telling:
            self.progress.say(message)

    def _inside(self, subject: str, fraction: float | None, message: str) -> None:
        with self._telling:
            self.progress.inside(subject, fraction, message)


def _lane(step: Step) -> str:
    """Where a step waits for room: one at a time has the GPU."""
    return "step" if step.device == "cpu" else f"step on {step.device}"


def _receipt(step: Step) -> dict[str, Any]:
    return {"key": step.key, "kind": step.kind, "title": step.title, "image": step.image}


def _why(status: dict[str, Any], outcome: Outcome, step: Step, log_tail: str) -> Failure:
    """The reason of a failure, from the step's own word first, then from how its process ended."""
    if outcome.timed_out:
        return Failure(Status.TIMEOUT, f"{step.kind} was ended after {step.timeout_s:.0f} s", log_tail, step.title)
    if outcome.oom:
        limit = f"{step.memory_bytes / 2**30:.1f} GiB"
        return Failure(Status.OOM_HOST, f"{step.kind} needed more than its {limit} of memory", log_tail, step.title)
    if status:
        return Failure(Status(status["status"]), f"{step.kind}: {status['reason']}", log_tail, step.title)
    last = next((line.strip() for line in reversed(log_tail.splitlines()) if line.strip()), "it printed nothing")
    return Failure(Status.CRASHED, f"{step.kind} ended with {_exit(outcome.exit_code)}: {last}", log_tail, step.title)


def _exit(code: int) -> str:
    """An exit code in words: beyond 128 it names the signal that ended the process, as shells and containers have it."""
    try:
        ended_by = signal.Signals(code - 128)
    except ValueError:  # real-time signals have no names either
        return f"exit code {code}"
    return f"exit code {code} ({ended_by.name}, {(signal.strsignal(ended_by) or 'a signal').lower()})"
