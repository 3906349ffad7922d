"""Processes that outlive the run that started them: marked when they start, found by their mark, ended.

Each job runs below a supervisor, which ends all that the job started, also when the run that started it dies. What can survive
is what a step leaves when run and supervisor are both killed. So each job's processes carry a token in their environment, which
their children inherit, and a note in the work folder says which process of ours gave it and which process is the supervisor.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from harness.contracts import values
from harness.contracts.files import write_json

TOKEN = "MATRIX_JOB"
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


def supervised(words: list[str], most_bytes: int) -> list[str]:
    """The command that runs ``words``, ends all that they start, and dies with the thread that starts it.

    No file that they write holds more than ``most_bytes``.
    """
    if sys.platform != "linux":
        return words
    return [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), str(most_bytes), *words]


@dataclass(frozen=True)
class ProcessIdentity:
    """A process by its id and its start, because ids are used again.

    On Linux the start is counted in ticks since the machine started: a clock that is set does not move it.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> ProcessIdentity:
        """A process, or this one. Raises ProcessLookupError where it is gone."""
        number = os.getpid() if pid is None else pid
        return cls(number, _started(number))

    @property
    def lives(self) -> bool:
        """Whether that process is still there."""
        try:
            return _started(self.pid) == self.started
        except ProcessLookupError:
            return False


def _started(pid: int) -> float:
    if sys.platform != "linux":
        try:
            return psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            raise ProcessLookupError(pid) from None
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        raise ProcessLookupError(pid) from None
    return float(after_name[19])  # proc(5): field 22, and the name is the second


@dataclass(frozen=True)
class JobNote:
    """Which process of ours started a job, and which one runs it."""

    token: str
    owner: ProcessIdentity
    supervisor: ProcessIdentity | None = None  # None before it has started


@dataclass(frozen=True)
class Watched:
    """A job under watch: the environment variables that mark its processes, and where its note lies."""

    note: JobNote
    file: Path

    @property
    def variables(self) -> dict[str, str]:
        """What every process of the job has in its environment."""
        return {TOKEN: self.note.token}

    def started(self, pid: int) -> None:
        """Note the process that runs the job."""
        with contextlib.suppress(ProcessLookupError):  # it has ended
            write_json(self.file, values.dump(replace(self.note, supervisor=ProcessIdentity.of(pid))))


class Orphans:
    """The notes below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def watched(self) -> Iterator[Watched]:
        """A job to be; whatever of it still runs at the end is killed."""
        note = JobNote(secrets.token_hex(16), ProcessIdentity.of())
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{note.token}.json"
        write_json(file, values.dump(note))
        try:
            yield Watched(note, file)
        finally:
            end({note.token})
            file.unlink(missing_ok=True)

    def reap(self) -> int:
        """End what dead runs left running; how many processes."""
        dead: dict[str, Path] = {}
        ended = 0
        for file in self.folder.glob("*.json"):
            try:
                note = values.read(JobNote, file)
            except values.Damaged:
                file.unlink(missing_ok=True)
                continue
            if not note.owner.lives:
                dead[note.token] = file
                ended += _end_tree(note.supervisor)
        ended += end(set(dead)) if dead else 0
        for file in dead.values():
            file.unlink(missing_ok=True)
        return ended


def _end_tree(supervisor: ProcessIdentity | None) -> int:
    """Kill a supervisor that outlives its run, and all processes below it; how many."""
    if supervisor is None or not supervisor.lives:
        return 0
    try:
        below = psutil.Process(supervisor.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return 0
    pids = [supervisor.pid, *(process.pid for process in below)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


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
