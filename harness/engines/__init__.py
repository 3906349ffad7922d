"""Engines: where a step runs. All keep one contract, so that the same step folder runs under any of them.

A step folder holds ``step.json`` (the spec, the same under every engine), ``out/`` and, written last by the step,
``status.json``. A step succeeded only if its ``status.json`` says so; what an engine returns is a hint for the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.catalog import Image


@dataclass(frozen=True)
class Limits:
    """What one step may use."""

    cpus: int
    memory_bytes: int
    timeout_s: float


@dataclass(frozen=True)
class Environment:
    """An image that is built, or the virtual environment that stands in for it."""

    image: Image
    reference: str  # what a person types: an image tag, or a path
    digest: str | None


@dataclass(frozen=True)
class Job:
    """One step, ready to run: ``python -m <harness.worker|harness.toolchain> --step DIR --input NAME=DIR ...``."""

    environment: Environment
    step: Path  # read and write
    inputs: Mapping[str, Path]  # read-only
    limits: Limits
    device: str = "cpu"


@dataclass(frozen=True)
class Outcome:
    """How a job's process ended. ``oom`` and ``exit_code`` are hints; ``status.json`` decides."""

    exit_code: int
    seconds: float
    oom: bool = False
    timed_out: bool = False


class Engine(Protocol):
    """Where steps run."""

    name: str
    version: str | None
    caveats: tuple[str, ...]  # printed on every row this engine measures

    def missing(self, image: Image) -> bool:
        """Whether ``ensure`` would have to build something for this image."""

    def fetch(self, image: Image, say: Callable[[str], None]) -> None:
        """Download what ``ensure`` would build from, so that it finds it there. Raises what ``ensure`` raises."""

    def ensure(self, image: Image, say: Callable[[str], None]) -> Environment:
        """Build what is missing. Raises BuildFailed with the log's tail, or EnvironmentProblem."""

    def devices(self) -> dict[str, str | None]:
        """Device name -> None where it can be used, or the reason why not."""

    def command(self, job: Job) -> str:
        """The command that a person can paste to repeat the job."""

    def by_hand(self, environment: Environment, limits: Limits, runtime: str, device: str) -> str:
        """The command that measures ``./artifact`` in a runtime, without the orchestrator, under the same limits."""

    def run(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        """Run to the end, log to ``job.step/log.txt``, hand every line to ``on_line``. Returns also after ``kill``.

        Called from several threads at once.
        """

    def kill(self) -> None:
        """End what runs or is built now, from another thread or a signal handler."""

    def reap(self) -> int:
        """Remove what a dead run left behind (containers by label); how many."""


def choose(name: str, work: Path) -> tuple[Engine, str]:
    """The engine for ``auto``, ``docker``, ``venv`` or ``host``, and one sentence that says why.

    ``auto`` takes Docker where an engine answers, else ``venv``. An engine that is there but refuses us is an
    EnvironmentProblem, never a silent fallback: who installed Docker wants its isolation.
    """
    from harness.engines.docker import DockerEngine, NoEngine, endpoint, probe
    from harness.engines.host import HostEngine
    from harness.engines.venv import VenvEngine

    if name == "host":
        return HostEngine(work), "host engine: asked for; steps run in the current Python"
    if name == "venv":
        return VenvEngine(work), "venv engine: asked for; steps run in virtual environments"
    host = endpoint()
    try:
        version = probe(host)
    except NoEngine as missing:
        if name == "docker":
            raise
        return VenvEngine(
            work
        ), f"venv engine: {missing.problem}; steps run in virtual environments, with weaker limits"
    return DockerEngine(work, host, version), f"docker engine: Docker Engine {version} answers at {host}"
