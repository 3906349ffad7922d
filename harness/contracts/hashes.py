"""Hashes of folders."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path


def hash_tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its relative name. Links are not followed: they are named as links."""
    return {file.relative_to(folder).as_posix(): hash_file(file) for file in sorted(_below(folder))}


def hash_of(files: Mapping[str, str]) -> str:
    """One SHA-256 for a folder: over the sorted names and hashes of its files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in files)
        yield from (link for name in folders if (link := Path(parent, name)).is_symlink())


def hash_file(file: Path) -> str:
    """SHA-256 of a plain file; of anything else the words that say so, because it is never opened."""
    if not stat.S_ISREG(file.lstat().st_mode):
        return "not a plain file"
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
