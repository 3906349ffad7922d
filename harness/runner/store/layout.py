"""What lies in a work folder, and what is done with it whatever it is. No link is followed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from harness.engines import takeover
from harness.errors import last_lines
from harness.runner.store.receipt import LOG

LOG_END = 2**16  # bytes of a log that are looked at for its last lines
STEPS, FAILED, DAMAGED = "steps", "failed", "damaged"
#: What lies in a work folder: folders, of which some are the engines', and files.
SWEPT = ("tmp", "scratch")  # before each run
OURS = (DAMAGED, STEPS, FAILED, *SWEPT)
FOLDERS = (
    *OURS,
    *("running", "code", "envs", "wheels", "contexts", "logs", "selftest", "uv-cache", "drawn"),
)
LOCK, HOLDER = "lock", "lock.holder"


def make_readable(folder: Path) -> None:
    """Let everybody read an output: a container that is run by hand is another user, and some libraries write 0600."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def fits(path: Path) -> bool:
    """Whether something in a work folder is what its name says. What the engines keep may be a link to a folder."""
    if path.name not in FOLDERS:
        return stat.S_ISREG(path.lstat().st_mode)
    return is_folder(path) if path.name in OURS else path.is_dir()


def is_folder(path: Path) -> bool:
    """Whether it is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def folders(folder: Path) -> list[Path]:
    """The folders in a folder; none where that is a link."""
    return sorted(filter(is_folder, folder.iterdir())) if is_folder(folder) else []


def size_of(folder: Path, seen: set[tuple[int, int]] | None = None) -> int:
    """What a folder and all below it take on the disk in bytes, as ``du`` tells: whole blocks, and no file twice.

    ``seen`` are the files, by device and inode, that were counted before; those of this folder are added.
    """
    seen = set() if seen is None else seen
    total = 0
    for path in (folder, *folder.rglob("*")):
        found = path.lstat()
        if (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total


def remove(path: Path) -> None:
    """Remove an entry, whatever it is: a folder with all that is in it, a file, a link. Raises OSError."""
    if is_folder(path):
        takeover.remove(path)
    else:
        path.unlink(missing_ok=True)


def log_tail(step: Path) -> str:
    """The end of a step's log."""
    try:
        with (step / LOG).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_END))
            return last_lines(log.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        return ""


def read_holder(file: Path) -> str:
    """Who holds the work folder, as the file says."""
    try:
        if stat.S_ISREG(file.lstat().st_mode):
            return file.read_text("utf-8", "replace")[:100].strip() or "another process"
    except OSError:
        pass
    return "another process"
