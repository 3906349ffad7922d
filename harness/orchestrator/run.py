"""Run a plan: make what is missing, in an order that is fair to what is measured, and lose nothing that is done.

Conversions come first; then the rounds of all cells, interleaved and shuffled, so that drift of the machine hits all
alike; then evaluation. One bad step never stops the others: what depends on it inherits its reason.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.catalog import Catalog
from harness.errors import BuildFailed, EnvironmentProblem, HarnessError
from harness.matrix import source
from harness.matrix.plan import Plan, Step, describe
from harness.orchestrator import sources
from harness.orchestrator.engines import Engine, Environment, Job, Limits, Outcome
from harness.orchestrator.estimate import History
from harness.orchestrator.interrupt import Interrupts
from harness.orchestrator.progress import Progress
from harness.orchestrator.store import Entry, Store
from harness.results import Status


@dataclass(frozen=True)
class Failure:
    """Why a step, and all that needs it, has no output."""

    status: Status
    reason: str
    log_tail: str | None = None
    origin: str | None = None  # title of the step where it happened


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

    def missing(self) -> list[Step]:
        """Steps that have to run, each after its inputs."""
        leaves = [key for planned in self.plan.wanted for key in planned.leaves] + list(self.plan.overhead)
        needed: set[str] = set()
        pending = [key for key in leaves if not self.store.find(key)]
        while pending:
            key = pending.pop()
            if key not in needed and not self.store.find(key):
                needed.add(key)
                pending.extend(self.plan.steps[key].inputs.values())
        return [step for key, step in self.plan.steps.items() if key in needed]

    def execute(self) -> None:
        """Run all that is missing. Raises Interrupted after Ctrl-C, EnvironmentProblem when the disk is full."""
        for planned in self.plan.cells:
            for key in planned.leaves:
                self.store.output(key)  # a damaged record is thrown away, so that it is missing
        missing = self.missing()
        if not missing:
            return
        history = History.of(self.store)
        self.engine.reap()
        self.progress.begin(len(missing), history.total(missing))
        try:
            self._build(self.plan.images(step.key for step in missing))
            remaining = self._order(missing)
            while remaining:
                self.interrupts.check()
                step = remaining.pop(0)
                self._run(step, history.total(remaining))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                cure = "free some space, or `harness clean`; what is done is kept: run the same command again"
                raise EnvironmentProblem(f"no space left on the disk of {self.store.root}", cure) from None
            raise
        finally:
            self.progress.end()

    def _order(self, missing: Iterable[Step]) -> list[Step]:
        """Preparation as planned; then round by round, shuffled with the recorded seed; then evaluation."""
        shuffled = random.Random(self.plan.matrix.measure.seed)
        stage = {"measure": 1, "evaluate": 2}

        def position(step: Step) -> tuple[int, int, float]:
            drawn = shuffled.random() if step.measures else 0.0
            return stage.get(step.kind, 0), int(step.spec.get("round", 0)), drawn

        return sorted(missing, key=position)

    def _build(self, images: Iterable[str]) -> None:
        """Make every image that is needed; one that fails becomes the failure of its steps."""
        for name in images:
            self.interrupts.check()
            image = self.catalog.images[name]
            try:
                if self.engine.missing(image):
                    self.progress.say(f"building {name} (once; about {image.build_s} s)")
                self.environments[name] = self.engine.ensure(image, lambda line: self.progress.inside(None, line))
            except BuildFailed as failed:
                self.progress.say(f"build-failed {name}: {failed}")
                self.failures[name] = Failure(Status.BUILD_FAILED, failed.problem, failed.log_tail)

    # --- one step ------------------------------------------------------------------------------------------------------

    def _run(self, step: Step, remaining_s: float) -> None:
        start = time.monotonic()
        self.progress.step(step)
        failure = self._make(step)
        status = "ok" if failure is None else failure.status
        reason = failure.reason if failure else None
        if failure and failure.origin not in (None, step.title):
            reason = f"needs: {failure.origin}"  # told in full where it happened
        self.progress.done(step, status, time.monotonic() - start, remaining_s, reason)

    def _make(self, step: Step) -> Failure | None:
        """Make a step's output unless it is there; remembers and returns its failure."""
        if step.key in self.failures:
            return self.failures[step.key]
        inputs: dict[str, Path] = {}
        for name, key in step.inputs.items():
            # A damaged input was thrown away by the store just now, so it is made again here.
            if self.store.output(key) is None and (failure := self._make(self.plan.steps[key])):
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
                say=lambda line: self.progress.inside(None, line),
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
        outcome = self.engine.run(job, self._ignore if step.measures else self._line)
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
        if runtime := step.spec.get("runtime"):
            receipt["by_hand"] = self.engine.by_hand(environment, limits, runtime, step.device)
        status = Entry(folder).status
        if status.get("status") == Status.OK:
            self.store.publish(step.key, folder, receipt)
            return None
        failure = _why(status, outcome, step, Entry(folder).log_tail())
        self.store.reject(step.key, folder, {"status": failure.status, "reason": failure.reason}, receipt)
        return failure

    @staticmethod
    def _ignore(line: str) -> None:
        """While measuring, nothing of ours works."""

    def _line(self, line: str) -> None:
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[0] == "progress":
            self.progress.inside(float(words[1]), words[2])


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
    return Failure(
        Status.CRASHED, f"{step.kind} ended with exit code {outcome.exit_code}: {last}", log_tail, step.title
    )
