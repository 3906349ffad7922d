"""Looks at what a step fills while it runs, and ends it at its bounds.

Neither a bind mount of Docker nor a folder of a process has a size limit of its own without quotas of the file system. So the
folder is measured once a second, and the free space of every disk that the step can write to. A look costs some 100 µs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType

from harness.engines.bounds import SETTINGS, Bounds, size, told

PERIOD_S = 1.0
SHARE = 0.05  # of one processor that looking may take: a large folder is looked at less often


@dataclass(frozen=True)
class _Disk:
    """A file system that a step can write to. ``kept_bytes`` have to stay free on it."""

    path: Path
    kept_bytes: int

    @classmethod
    def at(cls, path: Path, bounds: Bounds) -> _Disk:
        """Of a disk that is fairly full already half of what is free has to stay."""
        return cls(path, min(bounds.free_bytes, _free(path) // 2))


class Watch:
    """Watches a step while it is entered; calls ``end`` once, with the bound that was broken."""

    def __init__(self, folder: Path, more: Iterable[Path], bounds: Bounds, end: Callable[[str], None]) -> None:
        self._folder, self._bounds, self._end = folder, bounds, end
        disks = {path.stat().st_dev: path for path in (*more, folder) if path.is_dir()}
        self._disks = [_Disk.at(path, bounds) for path in disks.values()]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        wait = PERIOD_S
        while not self._over.wait(wait):
            started = perf_counter()
            if found := self._full() or exceeded(self._folder, self._bounds):
                self._end(found)
                return
            wait = max(PERIOD_S, (perf_counter() - started) / SHARE)

    def _full(self) -> str | None:
        for disk in self._disks:
            if _free(disk.path) < disk.kept_bytes:
                left = f"less than {size(disk.kept_bytes)} is free on the disk of {disk.path}"
                return f"it was ended because {left} ({SETTINGS['free_bytes']} is the bound)"
        return None


def exceeded(folder: Path, bounds: Bounds) -> str | None:
    """Which bound the content of a folder breaks, in words, or None. No link is followed."""
    try:
        return _exceeded(folder, bounds)
    except OSError:  # the step made its own folder unreadable; the disk is watched all the same
        return None


def _exceeded(folder: Path, bounds: Bounds) -> str | None:
    used, entries = 0, 0
    for path, folders, files, descriptor in os.fwalk(folder, onerror=None, follow_symlinks=False):
        entries += len(folders) + len(files)
        for name in files:
            try:
                seen = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError:  # it is gone
                continue
            used += 512 * seen.st_blocks // max(1, seen.st_nlink)
        if entries > bounds.entries:
            most = f"{bounds.entries:,} files and folders ({SETTINGS['entries']} is the bound)"
            return f"it was ended because it made more than {most}"
        if used > bounds.bytes:
            return f"it was ended because it wrote more than {told('bytes', bounds)}"
        if path.count("/") - str(folder).count("/") >= bounds.depth:
            folders.clear()  # what lies below still takes space of the disk, which is watched
    return None


def _free(path: Path) -> int:
    try:
        found = os.statvfs(path)
    except OSError:
        return 2**62  # nothing is known of it
    return found.f_bavail * found.f_frsize
