"""What all engines agree on: places, jobs and how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.errors import EnvironmentProblem

if TYPE_CHECKING:
    from harness.catalog import Image
    from harness.catalog.closure import Closure
    from harness.contracts.machine import Machine
    from harness.contracts.step import StepDescription
    from harness.engines.bounds import Bounds
    from harness.engines.energy import EnergyReading
    from harness.engines.transfer import Shelf

Say = Callable[[str], None]

#: Removed, or what would be: counts and bytes by kind.
Freed = dict[str, dict[str, int]]


class NoEngine(EnvironmentProblem):
    """Nothing answers where an engine was looked for: ``auto`` takes the next one."""


class ImageGone(EnvironmentProblem):
    """What ``ensure`` built was removed since."""


@dataclass(frozen=True)
class Limits:
    """What one step may use."""

    cpus: int
    memory_bytes: int
    timeout_s: float


@dataclass(frozen=True)
class Place:
    """A machine that an engine offers. One measurement at a time runs there."""

    name: str  # within its engine
    devices: Mapping[str, str | None]  # device name -> None where it can be used, or the reason why not
    machine: Machine  # what measurements belong to


@dataclass(frozen=True)
class Built:
    """An image that is built, or the virtual environment that stands in for it."""

    image: Image
    reference: str  # what a person types: an image tag, or the path of an interpreter
    digest: str | None


@dataclass(frozen=True)
class Job:
    """One step, ready to run: ``python -m <harness.worker|harness.toolchain> --step DIR --input NAME=DIR ...``.

    Inputs are keys: where they lie is the transfer's business. The step reads ``step.json`` in its folder and may write
    ``out/`` and ``status.json`` there; the engine brings these two to ``left`` on this machine, where nothing is trusted.
    """

    key: str  # of the step
    built: Built
    code: Closure
    description: StepDescription  # the content of step.json
    inputs: Mapping[str, str]  # input name -> key of the step that made it
    shelf: Shelf  # what finished steps made, by key
    left: Path  # on this machine: an empty folder that takes what the step writes
    log: Path  # on this machine, and never within reach of the step
    limits: Limits
    place: Place
    bounds: Bounds
    device: str = "cpu"
    measures: bool = False  # nothing else may work on the machine meanwhile


@dataclass(frozen=True)
class Outcome:
    """How a job's process ended. ``oom`` and ``exit_code`` are hints; ``status.json`` decides."""

    exit_code: int
    seconds: float
    oom: bool = False
    timed_out: bool = False
    exceeded: str | None = None  # the bound for which the engine ended it, in words
    energy: EnergyReading | None = None  # of the processor, for jobs that measure


class Engine(Protocol):
    """Where steps run."""

    name: str
    version: str | None
    isolation: str  # how steps are kept apart: part of a measurement's key, for it changes what is measured
    caveats: tuple[str, ...]  # printed on every row this engine measures

    def places(self) -> Sequence[Place]:
        """The machines that it offers, at least one; the same ones each time."""

    def missing(self, image: Image, place: Place) -> bool:
        """Whether ``ensure`` would have to build something for this image."""

    def fetch(self, image: Image, place: Place, say: Say) -> None:
        """Download what ``ensure`` would build from, so that it finds it there. Raises what ``ensure`` raises."""

    def ensure(self, image: Image, place: Place, say: Say) -> Built:
        """Build what is missing. Raises BuildFailed with the log's tail, or EnvironmentProblem."""

    def refresh(self, image: Image, code: Closure, place: Place, say: Say) -> Built:
        """As ``ensure``, and what ``by_hand`` names has this code. Raises what ``ensure`` raises."""

    def command(self, job: Job) -> str:
        """The command that a person can paste to repeat the job where it ran."""

    def by_hand(self, built: Built, code: Closure, limits: Limits, runtime: str, device: str) -> str:
        """The command that measures ``./artifact`` in a runtime, without the orchestrator, under the same limits.

        ``code`` is all that the image may need; ``refresh`` puts it where the command finds it.
        """

    def run(self, job: Job, on_line: Say) -> Outcome:
        """Run to the end, log to ``job.log``, hand every line to ``on_line``. Returns also after ``kill``.

        Called from several threads at once. Raises EnvironmentProblem where the place cannot run it, ImageGone where what
        ``job.built`` names is no longer there, KeyError with the key of an input that is not on the shelf, and
        takeover.Refused where what the step left cannot be brought here.
        """

    def kill(self) -> None:
        """End what runs or is built now, from another thread or a signal handler."""

    def reap(self) -> int:
        """End and remove what a dead run left behind; how much."""


@dataclass(frozen=True)
class EngineCard:
    """What an engine's folder states as ``CARD``. Reading it imports nothing heavy."""

    name: str  # that of its folder
    summary: str  # one clause: where steps run
    open: Callable[[Path, Mapping[str, str]], Engine]  # of a work folder and options; nothing is started
    probe: Callable[[], str] = lambda: ""  # what answers; raises NoEngine, or EnvironmentProblem where it refuses us
    auto: int | None = None  # rank for ``auto``, the lowest first; None: only where it is asked for
    clean: Callable[[bool], Freed] = field(default=lambda dry_run: {})  # removes what lies outside the work folder


def devices_of(places: Iterable[Place]) -> dict[str, str | None]:
    """What an engine offers on the whole: device -> None where one place has it, else the first place's reason."""
    found: dict[str, str | None] = {}
    for place in places:
        for device, reason in place.devices.items():
            found[device] = None if reason is None else found.get(device, reason)
    return found


def missing_somewhere(engine: Engine, image: Image) -> bool:
    """Whether a place would have to build the image first."""
    return any(engine.missing(image, place) for place in engine.places())
