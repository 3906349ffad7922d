"""Processes that outlive the run that started them: marked when they start, found by their mark, ended.

A process group is not enough: whoever is killed by SIGKILL ends nobody, and what a step starts may leave its group. So each
job's processes carry a token in their environment, which their children inherit, and a note in the work folder says which
process of ours gave it. On Linux a job's first process also dies with the thread that started it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.contracts import values
from harness.contracts.files import write_json

TOKEN = "MATRIX_JOB"

#: Asks the kernel to kill this process when its parent dies (prctl(2), PR_SET_PDEATHSIG), then becomes the step.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def dying_with_us(words: list[str]) -> list[str]:
    """The command that runs ``words`` and is killed when the thread that starts it ends."""
    if sys.platform != "linux":
        return words
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *words]


@dataclass(frozen=True)
class Owner:
    """Which process of ours started a job. ``started`` tells it from a later one with the same id."""

    token: str
    pid: int
    started: float

    @property
    def owner_lives(self) -> bool:
        """Whether that process is still there."""
        return lives(self.pid, self.started)


def lives(pid: int, started: float) -> bool:
    """Whether the process with that id is the one that started then, give or take what a clock that is set may move it."""
    try:
        return abs(psutil.Process(pid).create_time() - started) < 5
    except psutil.NoSuchProcess:
        return False


class Orphans:
    """The notes below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def watched(self) -> Iterator[dict[str, str]]:
        """Environment variables for a job; whatever of it still runs at the end is killed."""
        me = psutil.Process()
        note = Owner(secrets.token_hex(16), me.pid, me.create_time())
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{note.token}.json"
        write_json(file, values.dump(note))
        try:
            yield {TOKEN: note.token}
        finally:
            end({note.token})
            file.unlink(missing_ok=True)

    def reap(self) -> int:
        """End what dead runs left running; how many processes."""
        dead: dict[str, Path] = {}
        for file in self.folder.glob("*.json"):
            try:
                note = values.read(Owner, file)
            except values.Damaged:
                file.unlink(missing_ok=True)
                continue
            if not note.owner_lives:
                dead[note.token] = file
        ended = end(set(dead)) if dead else 0
        for file in dead.values():
            file.unlink(missing_ok=True)
        return ended


def end(tokens: set[str]) -> int:
    """Kill every process with one of these tokens, until there is none; how many."""
    seen: set[int] = set()
    while found := {pid for pid in _marked(tokens) if pid not in seen}:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        seen |= found
    return len(seen)


def _marked(tokens: set[str]) -> Iterator[int]:
    wanted = {f"{TOKEN}={token}".encode() for token in tokens}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes()
        except OSError:  # gone, or somebody else's
            continue
        if not wanted.isdisjoint(variables.split(b"\0")):
            yield int(folder.name)
