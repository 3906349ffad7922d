"""Writing files so that a reader sees all of one or nothing. Standard library only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_atomically(file: Path, content: str | bytes, *, sync: bool = False) -> None:
    """Write a file beside its place and rename it there; with ``sync`` it is on the disk before this returns."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with temporary.open("wb") as stream:
        stream.write(content.encode("utf-8") if isinstance(content, str) else content)
        if sync:
            stream.flush()
            os.fsync(stream.fileno())
    temporary.replace(file)
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
