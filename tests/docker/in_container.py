"""Programs that run in a container in place of the worker."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from harness.engines import takeover
from harness.engines.contract import Built, Job, Limits, Outcome
from harness.engines.docker.engine import DockerEngine
from tests.jobs import job_of, program

MEMORY = 96 * 2**20
LIMITS = Limits(cpus=1, memory_bytes=MEMORY, timeout_s=60)


def prepare(engine: DockerEngine, folder: Path, built: Built, text: str, timeout_s: float = 60) -> Job:
    """A job whose code is a program in place of the worker."""
    (folder / "main.py").write_text(dedent(text))
    job = job_of(folder, built, {"probe": folder / "probe"}, engine, code=program(folder / "main.py"))
    return replace(job, limits=replace(LIMITS, timeout_s=timeout_s))


def taken(job: Job, folder: Path) -> Path:
    """The output, after the take-over."""
    takeover.take_tree(job.left, "out", folder, job.bounds)
    return folder


Run = Callable[..., Outcome]
