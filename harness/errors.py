"""The errors a user can meet: each says what was wrong, where, and how to mend it. Everything else is a bug."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    CELLS_FAILED = 1
    USAGE = 2
    ENVIRONMENT = 3
    INTERRUPTED = 130


class HarnessError(Exception):
    """A mistake or a missing thing, told in one message; ``cure`` is what the reader can do."""

    exit_code = Exit.USAGE

    def __init__(self, problem: str, cure: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.problem}\n  cure: {self.cure}" if self.cure else self.problem


class UsageError(HarnessError):
    """The user's mistake: a wrong option, a wrong matrix."""


class EnvironmentProblem(HarnessError):
    """Something outside is missing: an engine, a permission, disk space, a package index."""

    exit_code = Exit.ENVIRONMENT


class BuildFailed(EnvironmentProblem):
    """An image or an environment could not be made; its cells become ``build-failed`` rows."""

    def __init__(self, problem: str, cure: str | None = None, log_tail: str = "") -> None:
        super().__init__(problem, cure)
        self.log_tail = log_tail


class SourceError(HarnessError):
    """A model or a data set could not be fetched; its cells become ``convert-failed`` rows."""


def did_you_mean(word: Any, known: Sequence[str]) -> str:
    """A cure: the nearest valid name if one is near, else all of them."""
    near = get_close_matches(str(word), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"
