"""Run a plan: make what is missing, in an order that is fair to what is measured, and lose nothing that is done.

Images and conversions come first, side by side, for hardly one of them keeps two cores busy; then, each alone on the machine,
the rounds of all cells, interleaved and shuffled, so that drift of the machine hits all alike, and more rounds of those that
were noisy or differ much; then evaluation, side by side again, each in one thread: threads that wait for each other on shared
cores, many of them spinning, would take several times longer. One bad step never stops the others: what depends on it inherits
its reason.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from harness.catalog import Catalog, Image
from harness.catalog.closure import Closure
from harness.contracts.step import MachineName
from harness.engines.contract import Engine, Place
from harness.errors import BuildFailed, disk_trouble
from harness.matrix.plan import Plan, Step
from harness.matrix.planner import Site, assign
from harness.results import Status
from harness.runner import rounds
from harness.runner.estimate import Durations
from harness.runner.interrupt import Interrupts
from harness.runner.progress import Progress
from harness.runner.schedule import Task, side_by_side
from harness.runner.steps import Failure, Maker, hand_closure
from harness.runner.store import Store

__all__ = ["Failure", "Run", "missing_steps", "sites_of"]

SIDE_BY_SIDE = 2  # builds, and steps that are not measured: while one reads, imports or traces, the other computes


def sites_of(engine: Engine) -> list[Site]:
    """The places of an engine as the planner sees them."""
    return [
        Site(MachineName(place.machine.id, place.machine.name), place.devices, place.machine.gpu_identity)
        for place in engine.places()
    ]


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
    hand: Callable[[Image], Closure] | None = None  # the code of what is run by hand; None: all of the image's
    _history: Durations = field(default_factory=Durations)
    _remaining: dict[str, Step] = field(default_factory=dict)
    _telling: threading.Lock = field(default_factory=threading.Lock)  # one voice at a time

    @cached_property
    def _maker(self) -> Maker:
        hand = self.hand or partial(hand_closure, self.catalog)
        return Maker(self.plan, self.catalog, self.engine, self.store, self.base, self.interrupts, self._inside, hand)

    @property
    def failures(self) -> dict[str, Failure]:
        """What did not work, by key of the step, or by name of the image."""
        return self._maker.failures

    @property
    def ran(self) -> int:
        """How many steps were run."""
        return self._maker.made

    @cached_property
    def missing(self) -> list[Step]:
        """The steps that have to run when the run begins."""
        for planned in self.plan.cells:
            for key in planned.leaves:
                self.store.output(key)  # a damaged record is set aside, so that it is missing
        return missing_steps(self.plan, self.store)

    def note_use(self) -> None:
        """Note that the steps of the picked cells are used, so that `clean --older-than` leaves them."""
        used = [key for planned in self.plan.wanted for key in (*planned.leaves, *planned.extra)]
        for key in self.plan.upstream([*used, *self.plan.overhead]):
            self.store.touch(key)

    def execute(self) -> None:
        """Run all that is missing. Raises Interrupted after Ctrl-C, EnvironmentProblem when the disk is full."""
        self.note_use()
        missing = self.missing
        if not missing:
            return
        self._history = Durations.of(self.store)
        self._remaining = {step.key: step for step in missing}
        self.engine.reap()
        self.progress.begin(len(missing), self._history.total(missing))
        try:
            preparation = [step for step in missing if step.kind not in ("measure", "evaluate")]
            self._side_by_side([*self._builds(missing), *self._tasks(preparation)])
            self._measure(self._shuffled(step for step in missing if step.measures))
            while extra := [step for step in rounds.extra(self.plan, self.store) if step.key not in self.failures]:
                self._remaining |= {step.key: step for step in extra}
                self._say(f"{len(extra)} more rounds, of cells whose rounds were noisy or differ much")
                self.progress.begin(len(self._remaining), self._history.total(self._remaining.values()))
                self._measure(self._shuffled(extra))
            self._side_by_side(self._tasks(step for step in missing if step.kind == "evaluate"))
        except OSError as error:
            if trouble := disk_trouble(error, str(self.store.root)):
                raise trouble from None
            raise
        finally:
            self.progress.end()

    def _measure(self, steps: Iterable[Step]) -> None:
        """One step at a time at each place, the places side by side."""
        rows: dict[str, list[Step]] = {}
        for step in steps:
            rows.setdefault(self._place(step).name, []).append(step)
        if len(rows) == 1:
            self._one_by_one(next(iter(rows.values())))
        elif rows:
            tasks = [Task(name, name, frozenset(), partial(self._one_by_one, row)) for name, row in rows.items()]
            side_by_side(tasks, dict.fromkeys(rows, 1), self.interrupts.check)

    def _one_by_one(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.interrupts.check()
            self._run(step)

    def _side_by_side(self, tasks: Sequence[Task]) -> None:
        room = {"download": 1, "build": SIDE_BY_SIDE}
        for place in self._places.values():
            fits = SIDE_BY_SIDE * self.plan.matrix.limits.memory <= place.machine.memory_bytes
            room[f"at {place.name}"] = SIDE_BY_SIDE if fits else 1
            room |= {f"at {place.name} on {device}": 1 for device in place.devices if device != "cpu"}
        side_by_side(tasks, room, self.interrupts.check)

    def _tasks(self, steps: Iterable[Step]) -> list[Task]:
        return [
            Task(
                step.key,
                _lane(step, self._place(step)),
                frozenset(step.inputs.values()) | {_build(step.image, self._place(step))},
                partial(self._run, step),
            )
            for step in steps
        ]

    @cached_property
    def _places(self) -> dict[str, Place]:
        """By the id of their machine."""
        return {place.machine.id: place for place in self.engine.places()}

    def _place(self, step: Step) -> Place:
        """Where a step runs: the place it was planned for, else one that has its device, the same one each time."""
        if step.machine and step.machine.id in self._places:
            return self._places[step.machine.id]
        sites = sites_of(self.engine) if len(self._places) > 1 else []
        able = [site for site in sites if site.devices.get(step.device) is None]
        return self._places[assign(step.key, able).machine.id] if able else next(iter(self._places.values()))

    def _shuffled(self, steps: Iterable[Step]) -> list[Step]:
        """Round by round, within a round in an order drawn with the recorded seed."""
        draw = random.Random(self.plan.matrix.measure.seed)
        return sorted(steps, key=lambda step: (int(step.spec.get("round", 0)), draw.random()))

    def _builds(self, steps: Sequence[Step]) -> list[Task]:
        """Fetching and building every image, each a task of its own: the next is fetched while others are built.

        What compiles a package takes longest, so it begins first; only one image of those that need the same wheel.
        """
        wanted = {(step.image, self._place(step).machine.id) for step in steps if step.image}
        images = [self.catalog.images[name] for name in self.plan.images(step.key for step in steps)]
        tasks = []
        for image in sorted(images, key=lambda image: image.kind == "runtimes" or not image.compiled):
            for place in self._places.values():
                if (image.name, place.machine.id) in wanted:
                    fetch, build = f"fetch {image.name} {place.name}", _build(image.name, place)
                    do_fetch = partial(self._prepare_image, image, place, self._fetch_image)
                    do_build = partial(self._prepare_image, image, place, self._build_image)
                    tasks.append(Task(fetch, "download", frozenset(), do_fetch))
                    tasks.append(Task(build, "build", frozenset({fetch}), do_build))
        return tasks

    def _prepare_image(self, image: Image, place: Place, do: Callable[[Image, Place], None]) -> None:
        """Fetch or build an image; one that fails becomes the failure of its steps."""
        if image.name in self.failures:
            return
        try:
            do(image, place)
        except BuildFailed as failed:
            self._say(f"build-failed {image.name}: {failed}")
            self.failures[image.name] = Failure(Status.BUILD_FAILED, failed.problem, failed.log_tail)

    def _fetch_image(self, image: Image, place: Place) -> None:
        if self.engine.missing(image, place):
            self.engine.fetch(image, place, partial(self._inside, image.name, None))

    def _build_image(self, image: Image, place: Place) -> None:
        if self.engine.missing(image, place):
            self._say(f"building {image.name} (once; about {image.build_s} s)")
        self._maker.built_at(image, place, partial(self._inside, image.name, None))

    # --- one step ------------------------------------------------------------------------------------------------------

    def _run(self, step: Step) -> None:
        start = time.monotonic()
        with self._telling:
            self.progress.step(step)
        failure = self._maker.make(step, self._place(step))
        status = "ok" if failure is None else failure.status
        reason = failure.reason if failure else None
        if failure and failure.origin not in (None, step.title):
            reason = f"needs: {failure.origin}"  # told in full where it happened
        with self._telling:
            self._remaining.pop(step.key, None)
            remaining_s = self._history.total(self._remaining.values())
            self.progress.done(step, status, time.monotonic() - start, remaining_s, reason)

    def _say(self, message: str) -> None:
        with self._telling:
            self.progress.say(message)

    def _inside(self, subject: str, fraction: float | None, message: str) -> None:
        with self._telling:
            self.progress.inside(subject, fraction, message)


def _lane(step: Step, place: Place) -> str:
    """Where a step waits for room: one at a time has the GPU."""
    return f"at {place.name}" if step.device == "cpu" else f"at {place.name} on {step.device}"


def _build(image: str | None, place: Place) -> str:
    return f"build {image} {place.name}"
