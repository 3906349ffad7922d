"""The errors a user can meet: each says what was wrong, where, and how to mend it. Everything else is a bug."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from enum import IntEnum
from typing import Any

from harness.redaction import without_secrets


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    CELLS_FAILED = 1
    USAGE = 2
    ENVIRONMENT = 3
    INTERRUPTED = 130


class HarnessError(Exception):
    """A mistake or a missing thing, told in one message; ``cure`` is what the reader can do. Credentials are taken out."""

    exit_code = Exit.USAGE

    def __init__(self, problem: str, cure: str | None = None) -> None:
        super().__init__(without_secrets(problem))
        self.problem = without_secrets(problem)
        self.cure = without_secrets(cure) if cure else cure

    def __str__(self) -> str:
        return f"{self.problem}\n  hint: {self.cure}" if self.cure else self.problem


class UsageError(HarnessError):
    """The user's mistake: a wrong option, a wrong matrix."""


class EnvironmentProblem(HarnessError):
    """Something outside is missing: an engine, a permission, disk space, a package index."""

    exit_code = Exit.ENVIRONMENT


class BuildFailed(EnvironmentProblem):
    """An image or an environment could not be made; its cells become ``build-failed`` rows with the end of the log."""

    def __init__(self, problem: str, cure: str | None = None, log: str = "") -> None:
        super().__init__(problem, cure)
        self.log_tail = without_secrets(last_lines(log, 40))


class SourceError(HarnessError):
    """A model or a data set could not be fetched; its cells become ``convert-failed`` rows."""


def last_lines(log: str, count: int = 15) -> str:
    """The end of a log."""
    return "\n".join(log.splitlines()[-count:])


#: What a disk answers by itself, by the error's number: no other file would fare better.
DISK_TROUBLES = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "the quota is used up",
    errno.EROFS: "it is mounted read-only",
    errno.EIO: "it can't be read or written (an input/output error)",
}
#: What it answers for a file that the user named.
_FILE_TROUBLES = {
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENOTDIR: "a part of its path is no folder",
    errno.EISDIR: "it is a folder",
    errno.EEXIST: "a file is in its place",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "its links lead in a circle",
    errno.EFBIG: "it grows too large",
}


def disk_trouble(error: OSError, where: str) -> EnvironmentProblem | None:
    """The problem with the disk of ``where`` that an error of the system tells of, or None where it tells of none."""
    if error.errno not in DISK_TROUBLES:
        return None
    return EnvironmentProblem(
        f"the disk of {where}: {DISK_TROUBLES[error.errno]}",
        "mend that, or free some space (`harness clean`); what is done is kept: run the same command again",
    )


def of_disk(error: OSError, where: Any) -> EnvironmentProblem | None:
    """What the disk refuses, in words; None for an error that is not the disk's. ``where`` stands for a missing file name."""
    subject = error.filename if isinstance(error.filename, str) else where
    if problem := disk_trouble(error, str(subject)):
        return problem
    if error.errno in _FILE_TROUBLES:
        return EnvironmentProblem(f"{subject}: {_FILE_TROUBLES[error.errno]}", "mend that, or name another place")
    return None


@contextmanager
def told_of_disk(where: Any) -> Iterator[None]:
    """Turn what the disk refuses into an EnvironmentProblem; other errors pass."""
    try:
        yield
    except OSError as error:
        if (problem := of_disk(error, where)) is None:
            raise
        raise problem from error


def did_you_mean(word: Any, known: Sequence[str]) -> str:
    """A hint: the valid names that are near, at most three, else all of them (20 at most).

    Near is a name that begins with ``word``, then one that holds it, then one that is spelled much like it, or whose part
    after the last slash is: ``onnxruntme`` finds ``runtimes/onnxruntime``.
    """
    near = _near(str(word), known)[:3]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"expected one of: {', '.join(known[:20])}{more}"


def _near(word: str, known: Sequence[str]) -> list[str]:
    low = word.lower()
    if len(low) > 1:  # one letter is in almost every name
        for fits in (str.startswith, str.__contains__):
            if found := [name for name in known if fits(name.lower(), low)]:
                return sorted(found, key=len)
    if found := get_close_matches(word, known, n=1):
        return found
    ends = {name.rpartition("/")[2]: name for name in reversed(known)}
    return [ends[end] for end in get_close_matches(low.rpartition("/")[2], ends, n=1)]
