"""Files as git revisions hold them. Where git or a repository is missing there are simply none."""

from __future__ import annotations

import subprocess
from pathlib import Path


def content(revision: str, path: str, folder: Path = Path()) -> bytes | None:
    """A file at a revision, or None. ``path`` counts from the repository's root; with ``./`` from ``folder``."""
    return _git(folder, "show", f"{revision}:{path}")


def of_file(file: Path) -> list[str]:
    """The full ids of the commits that changed, added or removed a file, newest first."""
    found = _git(file.parent, "log", "--format=%H", "--", file.name)
    return (found or b"").decode("ascii").split()


def shallow(folder: Path) -> bool:
    """Whether the repository holds only the newest commits: what CI services check out unless asked for more."""
    return _git(folder, "rev-parse", "--is-shallow-repository") == b"true\n"


def _git(folder: Path, *words: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return None if done.returncode else done.stdout
