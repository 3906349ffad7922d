"""One step: its inputs, its run, and what is taken over of what it wrote.

What a step can write lies in a folder of its own below ``scratch/``. Its description, its log, its receipt and the status that
is kept are ours, in a folder that no step sees. Only after the take-over is anything read, and then by type.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from harness import sources, tasks
from harness.catalog import Catalog, Image, Runtime, Tool
from harness.catalog.closure import Closure
from harness.contracts import values
from harness.contracts.step import StepStatus
from harness.engines import takeover
from harness.engines.bounds import Bounds, told
from harness.engines.contract import Built, Engine, ImageGone, Job, Limits, Outcome, Place
from harness.errors import DISK_TROUBLES, HarnessError
from harness.matrix import source
from harness.matrix.keys import hand_code
from harness.matrix.plan import OPTIONAL, Plan, Step, describe
from harness.redaction import without_secrets
from harness.results import Status
from harness.runner.interrupt import Interrupted, Interrupts
from harness.runner.store import LOG, OUT, STATUS, Store, log_tail
from harness.runner.store.receipt import Energy, Receipt

#: Told of a step under way: its title, how far it is (0 to 1) where it says so, and its own words.
Inside = Callable[[str, float | None, str], None]


@dataclass(frozen=True)
class Failure:
    """Why a step, and all that needs it, has no output."""

    status: Status
    reason: str
    log_tail: str | None = None
    origin: str | None = None  # title of the step where it happened


@dataclass
class Maker:
    """Makes steps of a plan, one by one or from several threads. ``failures`` says what did not work, by step key."""

    plan: Plan
    catalog: Catalog
    engine: Engine
    store: Store
    base: Path  # folder of the matrix file: `path:` sources are relative to it
    interrupts: Interrupts
    inside: Inside
    hand: Callable[[Image], Closure]  # all code that an image may need, run by hand
    failures: dict[str, Failure] = field(default_factory=dict)
    built: dict[tuple[str, str], Built] = field(default_factory=dict)  # by image and place
    bounds: Bounds = field(default_factory=Bounds.from_environment)
    made: int = 0
    _repairing: threading.RLock = field(default_factory=threading.RLock)

    def make(self, step: Step, place: Place) -> Failure | None:
        """Make a step's output, at ``place`` unless it is fetched; remembers and returns its failure."""
        if step.key in self.failures:
            return self.failures[step.key]
        given: dict[str, str] = {}
        for name, key in step.inputs.items():
            # A damaged input was thrown away by the store just now, so it is made again here, once for all that need it.
            with self._repairing:
                if self.store.output(key) is None and (failure := self.make(self.plan.steps[key], place)):
                    if name in OPTIONAL:
                        continue
                    self.failures[step.key] = failure
                    return failure
                given[name] = key
        failure = self._guarded(step, given, place)
        self.made += 1
        if failure:
            self.failures[step.key] = failure
        return failure

    def _guarded(self, step: Step, given: Mapping[str, str], place: Place) -> Failure | None:
        """An error that nobody expected is this step's, and of no other."""
        try:
            return self._fetch(step) if step.kind == "fetch" else self._in_engine(step, given, place)
        except (HarnessError, Interrupted):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK_TROUBLES:  # no other step would fare better
                raise
            reason = f"{step.kind}: {type(error).__name__}: {error} (an error of the harness: please report it)"
            trace = without_secrets(traceback.format_exc())
            return Failure(Status.CRASHED, without_secrets(" ".join(reason.split())), trace, step.title)

    def _fetch(self, step: Step) -> Failure | None:
        folder = self.store.begin(step.key, values.dump(describe(step)))
        start = time.monotonic()
        try:
            facts = sources.fetch(
                source.parse(step.spec["source"]),
                folder / OUT,
                sha256=step.spec["sha256"],
                base=self.base,
                cache=self.store.root / "wheels",
                trust=step.spec["trust"],
                most=self.plan.matrix.limits.source,
                say=partial(self.inside, step.title, None),
            )
            if step.spec["task"]:
                sources.write_manifest(folder / OUT, facts, tasks.card(step.spec["task"]))
        except HarnessError as error:
            reason = " ".join(error.problem.split()) + (f"; {error.cure}" if error.cure else "")
            failure = Failure(Status.CONVERT_FAILED, reason, str(error), step.title)
            self.store.reject(step.key, folder, failure.status, failure.reason, _receipt(step))
            return failure
        receipt = replace(_receipt(step), seconds=time.monotonic() - start, facts=facts)
        self.store.publish(step.key, folder, receipt)
        return None

    def _in_engine(self, step: Step, given: Mapping[str, str], place: Place) -> Failure | None:
        assert step.image is not None
        if unbuilt := self.failures.get(step.image):
            return unbuilt
        folder, left = self.store.begin(step.key, values.dump(describe(step))), self.store.scratch(step.key)
        job = self._job(step, given, place, left, folder)
        try:
            try:
                job, outcome = self._run(step, job)
                self.interrupts.check_killed()
                receipt = self._engine_receipt(step, job, outcome)
                failure = self._take(step, job, outcome, folder)
            except takeover.Refused as found:
                self.interrupts.check_killed()
                receipt = replace(_receipt(step), engine=self.engine.name, place=place.name)
                failure = Failure(Status.CRASHED, f"{step.kind}: {found}", log_tail(folder), step.title)
        finally:
            takeover.remove(left.parent)
        if failure is None:
            try:
                self.store.publish(step.key, folder, receipt)
            except values.Damaged as damage:  # it said "ok" and left something else
                failure = Failure(Status.CRASHED, f"{step.kind}: {damage}", log_tail(folder), step.title)
        if failure is not None:
            self.store.reject(step.key, folder, failure.status, failure.reason, receipt)
        return failure

    def _run(self, step: Step, job: Job) -> tuple[Job, Outcome]:
        """Run a job, once more where its image was removed meanwhile."""
        listen = (lambda line: None) if step.measures else partial(self._line, step.title)
        try:
            return job, self.engine.run(job, listen)
        except ImageGone:
            image = job.built.image
            del self.built[image.name, job.place.name]
            job = replace(job, built=self.built_at(image, job.place), left=self.store.scratch(step.key))
            return job, self.engine.run(job, listen)

    def _job(self, step: Step, given: Mapping[str, str], place: Place, left: Path, folder: Path) -> Job:
        assert step.image is not None
        assert step.code is not None
        return Job(
            key=step.key,
            built=self.built_at(self.catalog.images[step.image], place),
            code=step.code,
            description=describe(step),
            inputs=given,
            shelf=self.store,
            left=left,
            log=folder / LOG,
            limits=Limits(step.cpus, step.memory_bytes, step.timeout_s),
            place=place,
            bounds=self.bounds,
            device=step.device,
            measures=step.measures,
        )

    def built_at(self, image: Image, place: Place, say: Callable[[str], None] = lambda line: None) -> Built:
        """The image at a place, built where it is missing, with what is run by hand. Raises BuildFailed, EnvironmentProblem."""
        if (found := self.built.get((image.name, place.name))) is None:
            if self.engine.missing(image, place):
                found = self.engine.refresh(image, self.hand(image), place, say)
            else:
                found = self.engine.ensure(image, place, say)
        self.built[image.name, place.name] = found
        return found

    def _take(self, step: Step, job: Job, outcome: Outcome, folder: Path) -> Failure | None:
        """Take over what the step wrote, then read its status; raises Refused."""
        said = takeover.take_file(job.left, STATUS, folder / STATUS, self.bounds.status_bytes)
        try:
            status = values.read(StepStatus, folder / STATUS) if said else None
        except values.Damaged as damage:
            raise takeover.Refused(str(damage)) from None
        if status is not None and status.status == Status.OK:
            takeover.take_tree(job.left, OUT, folder / OUT, self.bounds)
            return None
        return self._why(status, outcome, step, log_tail(folder))

    def _why(self, status: StepStatus | None, outcome: Outcome, step: Step, log_tail: str) -> Failure:
        """The reason of a failure, from the step's own word first, then from how its process ended."""
        if outcome.exceeded:
            return Failure(Status.CRASHED, f"{step.kind}: {outcome.exceeded}", log_tail, step.title)
        if outcome.timed_out:
            return Failure(Status.TIMEOUT, f"{step.kind} was ended after {step.timeout_s:.0f} s", log_tail, step.title)
        if outcome.oom:
            limit = f"{step.memory_bytes / 2**30:.1f} GiB"
            return Failure(Status.OOM_HOST, f"{step.kind} needed more than its {limit} of memory", log_tail, step.title)
        if status:
            reason = f"{step.kind}: {status.reason}"
        else:
            last = next(
                (line.strip() for line in reversed(log_tail.splitlines()) if line.strip()), "it printed nothing"
            )
            reason = f"{step.kind} ended with {_exit(outcome.exit_code)}: {last}"
        bound = self._bound(reason)
        return Failure(Status(status.status) if status else Status.CRASHED, reason + bound, log_tail, step.title)

    def _bound(self, reason: str) -> str:
        """Which bound of ours a step has met, where the system's word for it is in its reason."""
        if os.strerror(errno.EFBIG) in reason or "SIGXFSZ" in reason:
            return f" (a file of a step holds at most {told('bytes', self.bounds)})"
        if os.strerror(errno.ENOSPC) in reason and self.engine.isolation == "container":
            tmp, shm = told("tmp_bytes", self.bounds), told("shm_bytes", self.bounds)
            return f" (/tmp of a container holds {tmp}, /dev/shm {shm}; /step is on the disk of {self.store.root})"
        return ""

    def _engine_receipt(self, step: Step, job: Job, outcome: Outcome) -> Receipt:
        built, runtime = job.built, step.spec.get("runtime")
        hand = self.engine.by_hand(built, self.hand(built.image), job.limits, runtime, step.device) if runtime else None
        return replace(
            _receipt(step),
            engine=self.engine.name,
            place=job.place.name,
            machine=job.place.machine.id,
            command=self.engine.command(job),
            by_hand=hand,
            reference=built.reference,
            digest=built.digest,
            environment_hash=built.image.environment_hash,
            code_hash=job.code.hash,
            seconds=outcome.seconds,
            exit_code=outcome.exit_code,
            energy=Energy(outcome.energy.joules, outcome.energy.reason) if outcome.energy else None,
        )

    def _line(self, subject: str, line: str) -> None:
        """Look for the progress in a line that a step printed; it may print anything."""
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[0] == "progress":
            try:
                fraction = min(1.0, max(0.0, float(words[1])))
            except ValueError:
                return
            self.inside(subject, fraction, words[2])


def hand_closure(catalog: Catalog, image: Image) -> Closure:
    """All code that an image may need when it is run by hand."""
    holders: list[Runtime | Tool] = [*catalog.runtimes.values(), *catalog.passes, *catalog.exporters]
    modules = dict.fromkeys(holder.module for holder in holders if holder.image.path == image.path)
    return hand_code(image, tuple(tasks.names()), tuple(modules))


def _receipt(step: Step) -> Receipt:
    return Receipt(step.key, step.kind, step.title, seconds=0.0, image=step.image)


def _exit(code: int) -> str:
    """An exit code in words: beyond 128 it names the signal that ended the process, as shells and containers have it."""
    try:
        ended_by = signal.Signals(code - 128)
    except ValueError:  # real-time signals have no names either
        return f"exit code {code}"
    return f"exit code {code} ({ended_by.name}, {(signal.strsignal(ended_by) or 'a signal').lower()})"
