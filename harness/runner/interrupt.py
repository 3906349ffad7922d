"""Ctrl-C: once finishes the step that runs, twice ends it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType, TracebackType

import psutil


class Interrupted(Exception):
    """The user stopped the run; what is done is kept."""


class Killed(Interrupted):
    """The user asked twice: what runs was ended as well."""


class Interrupts:
    """Counts Ctrl-C while it is entered. ``say`` tells the user what happens; ``kill`` ends the step that runs.

    The second one also ends the processes that were started meanwhile, such as pip's.
    """

    def __init__(self, say: Callable[[str], None], kill: Callable[[], None]) -> None:
        self._say, self._kill = say, kill
        self._count = 0

    def __enter__(self) -> Interrupts:
        self._there = set(psutil.Process().children())
        self._before = {name: signal.signal(name, self._handle) for name in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def check(self) -> None:
        """Between two steps: stop if the user asked for it."""
        if self._count:
            raise Interrupted

    def check_killed(self) -> None:
        """After a step: stop if it was ended on the user's word, so that its end is not taken for a crash."""
        if self._count > 1:
            raise Interrupted

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # SIGTERM comes from a supervisor that will not ask twice.
        self._count += 2 if number == signal.SIGTERM else 1
        if self._count == 1:
            self._say("stopping after this step; Ctrl-C once more ends it at once")
            return
        self._kill()
        for child in set(psutil.Process().children()) - self._there:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
        raise Killed
