"""Writing files so that a reader sees all of one or nothing, and hashing them. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def write_atomically(file: Path, content: str | bytes, *, sync: bool = False) -> None:
    """Write a file beside its place and rename it there; with ``sync`` it is on the disk before this returns."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(file.parent)


def write_json(file: Path, value: Any, *, sync: bool = False) -> None:
    """Write a value as JSON, as ``write_atomically`` does."""
    write_atomically(file, json.dumps(value, indent=1, ensure_ascii=False), sync=sync)


def sync_tree(folder: Path) -> None:
    """Bring every file below a folder to the disk, and the folders that name them."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            descriptor = os.open(Path(parent, name), os.O_RDONLY | os.O_NOFOLLOW)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a file that was renamed into it is there after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- hashes --------------------------------------------------------------------------------------------------------------


def hash_tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its relative name. Links are not followed: they are named as links."""
    return {file.relative_to(folder).as_posix(): hash_file(file) for file in sorted(_below(folder))}


def size_tree(folder: Path) -> dict[str, int]:
    """Bytes of every file below a folder, by its relative name. Links are not followed."""
    return {file.relative_to(folder).as_posix(): file.lstat().st_size for file in sorted(_below(folder))}


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
