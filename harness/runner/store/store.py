"""The store itself: finds, verifies, heals, makes room, writes and cleans."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from harness import terminal
from harness.contracts.files import hash_tree, size_tree, sync_folder, sync_tree, write_atomically, write_json
from harness.contracts.values import Damaged
from harness.engines import takeover
from harness.errors import EnvironmentProblem, UsageError
from harness.runner.store.layout import (
    DAMAGED,
    FAILED,
    FOLDERS,
    HOLDER,
    LOCK,
    STEPS,
    SWEPT,
    fits,
    folders,
    is_folder,
    make_readable,
    read_holder,
    remove,
    size_of,
)
from harness.runner.store.receipt import OUT, RECEIPT, STATUS, Entry, Receipt, read_receipt, write_receipt


@dataclass(frozen=True)
class Checked:
    """Something that lies where steps lie."""

    path: Path
    state: Literal["whole", "damaged", "foreign"]
    reason: str = ""


class Store:
    """The work folder of one matrix; ``lock`` makes this process its only writer. ``tell`` hears of damage that was healed."""

    def __init__(self, root: Path, tell: Callable[[str], None] = terminal.say) -> None:
        self.root = root.resolve()  # steps run elsewhere: their paths must not depend on where
        self._tell = tell
        self._found: dict[str, Entry] = {}
        self._verified: set[str] = set()  # whose whole output was looked at
        self._damaged: set[str] = set()  # that this process may not set aside
        self._lock: FileLock | None = None
        self._looking = threading.RLock()  # steps side by side find the same damage

    # --- reading -----------------------------------------------------------------------------------------------------

    def find(self, key: str) -> Entry | None:
        """The finished step of that key, verified but for its large files, or None where it has to be made.

        Raises EnvironmentProblem where a damaged entry cannot be set aside.
        """
        with self._looking:
            if key in self._found:
                return self._found[key]
            if key in self._damaged:
                return None
            try:
                entry = self._read(key)
            except Damaged as damage:
                self._heal(key, str(damage))
                return None
            if entry is not None:
                self._found[key] = entry
            return entry

    def _read(self, key: str) -> Entry | None:
        """The entry of that key, or None where there is none. Raises Damaged."""
        path = self._path(STEPS, key)
        try:
            for folder, name in ((path.parent, "its parent"), (path, "it"), (path / OUT, OUT)):
                if not stat.S_ISDIR(folder.lstat().st_mode):
                    raise Damaged(f"{name} is no folder")
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not os.path.lexists(path):
                return None
            raise Damaged(f"it cannot be read: {error.strerror}") from None
        entry = Entry(path, read_receipt(path))
        if entry.receipt.key != key:
            raise Damaged(f"{RECEIPT} is of another step")
        entry.verify()
        return entry

    def output(self, key: str) -> Path | None:
        """The output folder of a step, verified as a whole, or None where it has to be made. Raises as ``find``."""
        entry = self.find(key)
        if entry is None:
            return None
        if key not in self._verified:
            try:
                entry.verify_all()
            except Damaged as damage:
                with self._looking:
                    if self._found.get(key) is entry:
                        self._heal(key, str(damage))
                return None
            self._verified.add(key)
        return entry.out

    def folder(self, key: str) -> Path:
        """As ``output``; raises KeyError where it is not there. Engines see the store as a shelf (``engines.transfer``)."""
        if (output := self.output(key)) is None:
            raise KeyError(key)
        return output

    def files(self, key: str) -> Mapping[str, str]:
        """SHA-256 of each file of an output, by its relative name. Raises KeyError."""
        if (entry := self.find(key)) is None:
            raise KeyError(key)
        return entry.files

    def path(self, key: str) -> Path:
        """Where a finished step lies, or would."""
        return self._path(STEPS, key)

    def receipts(self) -> Iterator[Receipt]:
        """Of all finished steps; a damaged one is passed over."""
        for file in self.root.glob(f"{STEPS}/??/*/{RECEIPT}"):
            try:
                yield read_receipt(file.parent)
            except Damaged:
                continue

    def check(self) -> Iterator[Checked]:
        """Look at everything that lies where steps lie, and hold every file of a step against its receipt.

        Nothing is changed.
        """
        return _each(
            self.root / STEPS, lambda shard: _each(shard, self._check) if len(shard.name) == 2 else _foreign(shard)
        )

    def _check(self, path: Path) -> Iterator[Checked]:
        if not path.name.startswith(path.parent.name):
            yield from _foreign(path)
            return
        try:
            if entry := self._read(path.name):
                entry.verify_all()
        except Damaged as damage:
            yield Checked(path, "damaged", str(damage))
        else:
            yield Checked(path, "whole")

    # --- healing -----------------------------------------------------------------------------------------------------

    def _heal(self, key: str, reason: str) -> None:
        """Set a damaged entry aside, with the reason, and tell it; a process that may not write leaves it."""
        self._found.pop(key, None)
        self._verified.discard(key)
        if not self._writes:
            self._damaged.add(key)
            return
        path = self._path(STEPS, key)
        aside = self._set_aside(path if is_folder(path.parent) else path.parent, reason)
        self._tell(f"a damaged step is made again: {reason} ({aside})")

    def _set_aside(self, path: Path, reason: str) -> Path:
        """Move what is damaged, or in the way, to a folder of its own in ``damaged/``. Raises EnvironmentProblem."""
        aside = self.root / DAMAGED / f"{path.name[:16]}-{time.time_ns()}"
        try:
            aside.mkdir(parents=True)
            if is_folder(path):
                path.chmod(0o700)  # a folder that moves has its own entry for its parent changed
            path.rename(aside / "step")
            (aside / "reason.txt").write_text(f"{reason}\n", "utf-8")
        except OSError as error:
            problem = f"{path} is damaged ({reason}), and cannot be set aside: {error.strerror}"
            raise EnvironmentProblem(problem, "make the work folder yours and writable, or remove that entry") from None
        return aside

    def _make_room(self) -> None:
        """Set aside what has the place of a folder or a file of ours, and open folders of steps that are closed to us.

        A link is no folder: what lies behind it is not ours to write to or to remove.
        """
        for name in (*FOLDERS, LOCK, HOLDER):
            path = self.root / name
            if not os.path.lexists(path) or fits(path):
                continue
            if name == DAMAGED:
                path.rename(path.with_name(f"{DAMAGED}-{time.time_ns()}"))
                continue
            reason = "it is no folder" if name in FOLDERS else "it is no file"
            self._tell(f"{path}: {reason}, so it is set aside ({self._set_aside(path, reason)})")
        for kind in (STEPS, FAILED):
            for shard in self.root.glob(f"{kind}/??"):
                if not is_folder(shard):
                    self._tell(f"{shard}: it is no folder, so it is set aside ({self._set_aside(shard, 'no folder')})")
        for folder in (self.root / STEPS, *folders(self.root / STEPS)):
            if is_folder(folder) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                with contextlib.suppress(OSError):  # it is somebody else's: what lies in it is told as damaged
                    folder.chmod(0o755)

    def _sweep(self, name: str) -> None:
        """Remove what a run that died left half made."""
        try:
            takeover.remove(self.root / name)
        except OSError as error:
            self._tell(f"{self.root / name} cannot be emptied ({error.strerror}): remove it by hand to have its space")

    # --- writing -----------------------------------------------------------------------------------------------------

    def begin(self, key: str, description: Mapping[str, Any]) -> Path:
        """A fresh step folder with ``step.json`` and an empty ``out/``."""
        path = self.place(key)
        takeover.remove(path)
        (path / OUT).mkdir(parents=True)
        write_json(path / "step.json", description)
        return path

    def place(self, key: str) -> Path:
        """Where a step is made."""
        return self.root / "tmp" / f"{key[:16]}-{os.getpid()}"

    def scratch(self, key: str) -> Path:
        """A fresh, empty folder that a step may write to, apart from all that is ours. Its parent is the step's alone."""
        path = self.root / "scratch" / f"{key[:16]}-{os.getpid()}"
        takeover.remove(path)
        (path / "left").mkdir(parents=True)
        return path / "left"

    def publish(self, key: str, step: Path, receipt: Receipt) -> Entry:
        """Make a whole step the store's. All of it is on the disk before its receipt is, and then it appears at once.

        Raises Damaged where the step is not what its kind makes; it stays where it is.
        """
        make_readable(step / OUT)
        whole = replace(receipt, files=hash_tree(step), sizes=size_tree(step))
        entry = Entry(step, whole)
        entry.verify()
        sync_tree(step)
        write_receipt(step, whole)
        target = self._path(STEPS, key)
        self._move(step, target)
        with contextlib.suppress(OSError):
            remove(self._path(FAILED, key))
        with self._looking:
            self._found[key] = Entry(target, whole)
            self._verified.add(key)
        return self._found[key]

    def reject(self, key: str, step: Path, status: str, reason: str, receipt: Receipt) -> Path:
        """Keep a failed step's log and reason in the folder that is returned; its output is thrown away."""
        takeover.remove(step / OUT)
        write_json(step / STATUS, {"status": status, "reason": reason})
        write_receipt(step, receipt)
        target = self._path(FAILED, key)
        self._move(step, target)
        return target

    def _move(self, step: Path, target: Path) -> None:
        if os.path.lexists(target.parent) and not is_folder(target.parent):
            self._set_aside(target.parent, "it is no folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(target)
        step.rename(target)
        for folder in (target.parent, target.parent.parent):
            sync_folder(folder)

    def _path(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key

    # --- one writer --------------------------------------------------------------------------------------------------

    def lock(self) -> FileLock:
        """Take the work folder for this process, and put it into order.

        Raises UsageError that says who holds it, EnvironmentProblem where it can't be one.
        """
        holder = self.root / HOLDER
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._make_room()
            lock = FileLock(self.root / LOCK)
            lock.acquire(timeout=0)
            write_atomically(holder, f"process {os.getpid()} since {time.strftime('%H:%M:%S')}")
            (self.root / STEPS).mkdir(exist_ok=True)
            for folder in (self.root, self.root.parent):
                sync_folder(folder)
        except Timeout:
            raise UsageError(
                f"{self.root} is in use by {read_holder(holder)}", "wait for that run, or stop it with Ctrl-C"
            ) from None
        except OSError as error:
            problem = f"{self.root}: {error.strerror}"
            raise EnvironmentProblem(problem, "make it a folder that you can write to, or use --work") from None
        for name in SWEPT:
            self._sweep(name)
        self._lock = lock
        self._damaged.clear()
        return lock

    @property
    def _writes(self) -> bool:
        return self._lock is not None and self._lock.is_locked

    # --- cleaning ----------------------------------------------------------------------------------------------------

    def old_entries(self, older_than_s: float) -> Iterator[tuple[Path, int]]:
        """Finished, failed and damaged steps not made or used within that time, with what they take on the disk in bytes."""
        limit, seen = time.time() - older_than_s, set[tuple[int, int]]()
        shards = [shard for kind in (STEPS, FAILED) for shard in folders(self.root / kind) if len(shard.name) == 2]
        for folder in (*shards, self.root / DAMAGED):
            entries = sorted(folder.iterdir()) if is_folder(folder) else []  # what a link leads to is not ours
            old = [path for path in entries if path.lstat().st_mtime < limit]
            for path in old:
                last = path is entries[-1] and len(old) == len(entries)  # its folder goes with it
                yield path, size_of(path, seen) + (folder.lstat().st_blocks * 512 if last else 0)

    def remove(self, path: Path) -> None:
        """Remove an old entry, and the folder that it was the last in."""
        remove(path)
        with contextlib.suppress(OSError):  # it holds others
            path.parent.rmdir()

    def touch(self, key: str) -> None:
        """Note that a step was used, where it is there."""
        with contextlib.suppress(OSError):
            os.utime(self._path(STEPS, key), follow_symlinks=False)


def _each(folder: Path, check: Callable[[Path], Iterator[Checked]]) -> Iterator[Checked]:
    """What ``check`` says of everything in a folder; a folder that cannot be read is damaged."""
    try:
        if folder.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, "it is a link")
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        yield Checked(folder, "damaged", f"it cannot be read: {error.strerror}")
        return
    for path in found:
        yield from check(path)


def _foreign(path: Path) -> Iterator[Checked]:
    yield Checked(path, "foreign")
