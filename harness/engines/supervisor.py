"""Runs one step as its child and leaves no process of it behind: ``python -I -S supervisor.py PARENT BYTES COMMAND...``.

A process group and a mark in the environment do not reach a process that leaves the first and clears the second. So the
supervisor is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER): whatever a step leaves orphaned becomes its child. It kills all of
them when the step ends, when it is told to end (SIGTERM), and when the thread of ours that started it dies (PR_SET_PDEATHSIG,
SIGTERM). Where the supervisor itself is killed the kernel kills the step (PR_SET_PDEATHSIG, SIGKILL). It sleeps while the
step runs, and it ends as the step did: with its exit code, or by its signal.

``BYTES`` is the largest file that the step may write (RLIMIT_FSIZE). Linux and standard library only; nothing imports it.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
HEARD = (signal.SIGTERM, signal.SIGCHLD)
PATIENCE_S = 5.0  # a process in the middle of a system call may die later than it was told to


def prctl(option: int, value: int) -> None:
    """Raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def start(command: list[str], most_bytes: int) -> int:
    """The process of the step; it dies with this one."""
    me = os.getpid()
    if child := os.fork():
        return child
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != me:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
            signal.signal(number, signal.SIG_DFL)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def supervise(child: int) -> int:
    """Wait for the step; its status as wait(2) has it."""
    while True:
        if signal.sigwait(HEARD) == signal.SIGTERM:
            end_all()
        for pid, status in ended():
            if pid == child:
                return status


def ended() -> list[tuple[int, int]]:
    """The children that have ended, with their status."""
    found = []
    with contextlib.suppress(ChildProcessError):
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(one)
    return found


def end_all() -> None:
    """Kill every process below this one, until there is none."""
    until = time.monotonic() + PATIENCE_S
    while (below := descendants()) and time.monotonic() < until:
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def descendants() -> set[int]:
    """Processes below this one that have not ended."""
    parents: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = file.read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):  # it is gone
            continue
        if state not in "ZX":
            parents[int(file.parent.name)] = int(parent)
    below: set[int] = set()
    known = {os.getpid()}
    while known := {pid for pid, parent in parents.items() if parent in known}:
        below |= known
    return below


def end_as(status: int) -> NoReturn:
    """End by the signal that ended the step, or with its exit code."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def main(parent: int, most_bytes: int, command: list[str]) -> NoReturn:
    """Run the command and end as it does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before it could be asked for
        os._exit(1)
    status = supervise(start(command, most_bytes))
    end_all()
    end_as(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
