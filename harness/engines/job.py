"""What all engines agree on about a job: its module and arguments, its processors, its log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.catalog import Image
from harness.engines import Job, Limits

#: What runs inside, by kind of image; also the ENTRYPOINT of the Dockerfiles.
MODULES = {"runtimes": "harness.worker", "toolchains": "harness.toolchain"}


def module(image: Image) -> str:
    """The Python module that runs a step in this image."""
    return MODULES[image.kind]


def arguments(step: str, inputs: Mapping[str, str]) -> list[str]:
    """The command line of a step whose folders are called so where it runs."""
    return ["--step", step, *(word for name, path in inputs.items() for word in ("--input", f"{name}={path}"))]


def hand_options(limits: Limits, runtime: str, device: str) -> list[str]:
    """The worker's options that measure a runtime by hand as a cell of it is measured."""
    return ["--runtime", runtime, "--threads", str(limits.cpus), "--device", device]


def cpu_set(count: int) -> str:
    """The first ``count`` of the processors that this process may use, as a list such as ``0,1``."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return ",".join(str(cpu) for cpu in list(allowed)[:count])


def keep_log(chunks: Iterable[bytes], job: Job, on_line: Callable[[str], None]) -> None:
    """Write what a job prints to ``log.txt`` of its step as it comes, and hand each whole line to ``on_line``.

    Of a line that was drawn over with carriage returns (a progress bar) ``on_line`` gets the last state.
    """
    rest = b""
    with (job.step / "log.txt").open("wb", buffering=0) as log:
        for chunk in chunks:
            log.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                on_line(_text(line))
    if rest:
        on_line(_text(rest))


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode("utf-8", "replace")


@dataclass(eq=False)
class Running:
    """A job under way, and why it was ended from outside, if it was."""

    end: Callable[[], None]
    killed: bool = False
    timed_out: bool = False

    def kill(self) -> None:
        """End it."""
        self.killed = True
        self.end()

    def time_out(self) -> None:
        """End it because its time is up."""
        self.timed_out = True
        self.kill()
