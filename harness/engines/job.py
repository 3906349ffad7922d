"""What all engines do alike: a job's module and arguments, its processors, its log, its energy."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.bounds import SETTINGS
from harness.engines.contract import Job, Limits, Say
from harness.engines.energy import PackageEnergy
from harness.provision.contexts import MODULES

if TYPE_CHECKING:
    from harness.catalog import Image

#: The folder for temporary files, within the step's own: conversions write copies of their models there.
SCRATCH = "tmp"
#: Bytes of a line that are handed on; the rest of a longer one is in the log only.
LINE_BYTES = 4096

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


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


def metered(job: Job, on_line: Say) -> tuple[PackageEnergy | None, Say]:
    """The energy meter of a job that measures on this machine, and the listener that reads it as well."""
    if not job.measures:
        return None, on_line
    meter = PackageEnergy.of_this_machine()

    def both(line: str) -> None:
        meter.on_line(line)
        on_line(line)

    return meter, both


def keep_log(chunks: Iterable[bytes], file: Path, limit: int, on_line: Say) -> None:
    """Write what a job prints to ``file`` as it comes, and hand each whole line to ``on_line``.

    Of more than ``limit`` bytes the first half and the last half are kept, with a line between them that says how much is
    missing. Of a line that was drawn over with carriage returns (a progress bar) ``on_line`` gets the last state, without
    control characters, and no more than LINE_BYTES of it.
    """
    lines, tail = _Lines(on_line), _Tail(limit - limit // 2)
    with file.open("wb", buffering=0) as log:
        room = limit // 2
        for chunk in chunks:
            lines.feed(chunk)
            log.write(chunk[:room])
            tail.feed(chunk[room:])
            room -= min(room, len(chunk))
        dropped, last = tail.end()
        if dropped:
            kept = f"a log keeps {limit:,} ({SETTINGS['log_bytes']} is the bound)"
            log.write(f"\n[... {dropped:,} bytes are left out: {kept} ...]\n".encode())
        log.write(last)
    lines.end()


class _Tail:
    """The last bytes of a stream, as many as ``limit``; holds twice as many at most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = bytearray()
        self._dropped = 0

    def feed(self, chunk: bytes) -> None:
        self._held += chunk
        if len(self._held) > 2 * self.limit:
            self._cut()

    def _cut(self) -> None:
        over = max(0, len(self._held) - self.limit)
        del self._held[:over]
        self._dropped += over

    def end(self) -> tuple[int, bytes]:
        """How many bytes are lost before the last ones, and these."""
        self._cut()
        return self._dropped, bytes(self._held)


class _Lines:
    """Puts lines together from chunks, holding no more than LINE_BYTES of one."""

    def __init__(self, on_line: Say) -> None:
        self._on_line = on_line
        self._begun = b""
        self._drawn_over = False  # whether a carriage return came last

    def feed(self, chunk: bytes) -> None:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._add(part)
            self._tell()
        self._add(rest)

    def _add(self, part: bytes) -> None:
        text = part.rstrip(b"\r")
        if text:
            _, again, last = text.rpartition(b"\r")
            kept = b"" if again or self._drawn_over else self._begun
            self._begun = (kept + last[:LINE_BYTES])[:LINE_BYTES]
        if part:
            self._drawn_over = part.endswith(b"\r")

    def _tell(self) -> None:
        line, self._begun, self._drawn_over = self._begun, b"", False
        self._on_line(_CONTROLS.sub("", line.decode("utf-8", "replace")))

    def end(self) -> None:
        """Hand on a last line that no line break ended."""
        if self._begun:
            self._tell()


@dataclass(eq=False)
class Running:
    """A job under way, and why it was ended from outside, if it was."""

    end: Callable[[], None]
    killed: bool = False
    timed_out: bool = False
    exceeded: str | None = None

    def kill(self) -> None:
        """End it."""
        self.killed = True
        self.end()

    def time_out(self) -> None:
        """End it because its time is up."""
        self.timed_out = True
        self.kill()

    def exceed(self, bound: str) -> None:
        """End it because it broke a bound."""
        self.exceeded = bound
        self.kill()
