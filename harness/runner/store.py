"""The store: content-addressed steps under ``.matrix/``.

A step is made in ``tmp/`` and renamed to ``steps/<kk>/<key>/`` once it is whole and on the disk: a reader sees all of it or
nothing, also after a power cut, and a run that is killed loses at most the step in flight. ``receipt.json`` lists the hash of
every file of the step, and holds a hash of itself. All reading goes through ``find`` and ``output``, which verify what they
hand out: an entry that is not what its receipt says is set aside in ``damaged/``, told in one line, and made again. Failed
steps are kept apart, in ``failed/``, with their logs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness import terminal
from harness.contracts import values
from harness.contracts.artifact import MANIFEST, Manifest
from harness.contracts.files import hash_file, hash_tree, sync_folder, sync_tree, write_json
from harness.contracts.record import RuntimeRecord
from harness.contracts.step import StepStatus
from harness.contracts.values import Damaged
from harness.engines import takeover
from harness.errors import EnvironmentProblem, UsageError
from harness.runner.receipt import Receipt

OUT, STATUS, RECEIPT, RECORD, LOG = "out", "status.json", "receipt.json", "record.json", "log.txt"
MEASURED, MADE = ("measure", "evaluate"), ("train", "compress", "export")  # kinds that leave a record, an artifact
LOG_END = 2**16  # bytes of a log that are looked at for its last lines


@dataclass(frozen=True)
class Entry:
    """A finished step. What is read here was verified against the receipt and has its type."""

    path: Path
    receipt: Receipt

    @property
    def out(self) -> Path:
        """What the step made."""
        return self.path / OUT

    @cached_property
    def status(self) -> StepStatus:
        """What the step itself said of how it ended; of a fetch, that it did."""
        if STATUS not in self.receipt.files:
            return StepStatus("ok", seconds=self.receipt.seconds)
        return values.read(StepStatus, self.path / STATUS)

    @cached_property
    def manifest(self) -> Manifest:
        """The artifact's manifest. Raises Damaged for steps that make none."""
        return values.read(Manifest, self.out / MANIFEST)

    @cached_property
    def record(self) -> RuntimeRecord:
        """The record of a measure or evaluate step. Raises Damaged for other steps."""
        return values.read(RuntimeRecord, self.out / RECORD)

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file of the output, by its name below ``out``."""
        below = f"{OUT}/"
        return {name.removeprefix(below): found for name, found in self.receipt.files.items() if name.startswith(below)}

    def verify(self) -> None:
        """Hold what is small, and read from here, against the receipt. Raises Damaged."""
        for name in (STATUS, f"{OUT}/{RECORD}", f"{OUT}/{MANIFEST}"):
            if name in self.receipt.files and _hash(self.path / name) != self.receipt.files[name]:
                raise Damaged(f"{name} is not what the receipt says")
        _ = self.status
        if self.receipt.kind in MEASURED:
            self._verify_machine()
        elif self.receipt.kind in MADE or f"{OUT}/{MANIFEST}" in self.receipt.files:
            _ = self.manifest

    def _verify_machine(self) -> None:
        """A container cannot say of another machine what was measured here."""
        found = self.record.measurement
        if found and self.receipt.machine and found.machine.id != self.receipt.machine:
            raise Damaged(f"{RECORD}: machine: id: expected {self.receipt.machine}, got {found.machine.id[:60]!r}")

    def verify_output(self) -> None:
        """Hold the whole output against the receipt. Raises Damaged."""
        if hash_tree(self.out) != self.files:
            raise Damaged("its output is not what the receipt says")


@dataclass(frozen=True)
class Rejected:
    """The last failed attempt at a step."""

    path: Path
    status: str
    reason: str

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return log_tail(self.path, lines)


class Store:
    """The work folder of one matrix; ``lock`` makes this process its only writer. ``tell`` hears of damage that was healed."""

    def __init__(self, root: Path, tell: Callable[[str], None] = terminal.say) -> None:
        self.root = root.resolve()  # steps run elsewhere: their paths must not depend on where
        self._tell = tell
        self._found: dict[str, Entry] = {}
        self._verified: set[str] = set()  # whose whole output was looked at
        self._damaged: set[str] = set()  # that this process may not set aside
        self._writes = False

    # --- reading -----------------------------------------------------------------------------------------------------

    def find(self, key: str) -> Entry | None:
        """The finished step of that key, verified but for its large files, or None where it has to be made."""
        if key in self._found:
            return self._found[key]
        path = self._path("steps", key)
        if key in self._damaged or not path.exists():
            return None
        try:
            entry = Entry(path, _read_receipt(path))
            entry.verify()
        except Damaged as damage:
            self._set_aside(key, str(damage))
            return None
        self._found[key] = entry
        return entry

    def output(self, key: str) -> Path | None:
        """The output folder of a step, verified as a whole, or None where it has to be made."""
        entry = self.find(key)
        if entry is None:
            return None
        if key not in self._verified:
            try:
                entry.verify_output()
            except (Damaged, OSError) as damage:
                self._set_aside(key, str(damage))
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

    def failure(self, key: str) -> Rejected | None:
        """The last failed attempt at that step, or None."""
        path = self._path("failed", key)
        try:
            found = json.loads((path / STATUS).read_bytes())
            return Rejected(path, str(found["status"]), str(found["reason"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def receipts(self) -> Iterator[Receipt]:
        """Of all finished steps; a damaged one is passed over."""
        for file in self.root.glob(f"steps/??/*/{RECEIPT}"):
            try:
                yield _read_receipt(file.parent)
            except Damaged:
                continue

    def _set_aside(self, key: str, reason: str) -> None:
        """Move a damaged entry out of the way, with the reason; a process that may not write leaves it."""
        self._found.pop(key, None)
        self._verified.discard(key)
        if not self._writes:
            self._damaged.add(key)
            return
        target = self.root / "damaged" / f"{key[:16]}-{time.time_ns()}"
        target.mkdir(parents=True)
        self._path("steps", key).rename(target / "step")
        (target / "reason.txt").write_text(reason + "\n", "utf-8")
        self._tell(f"a damaged step is made again: {reason} ({target})")

    # --- writing -----------------------------------------------------------------------------------------------------

    def begin(self, key: str, description: Mapping[str, Any]) -> Path:
        """A fresh step folder with ``step.json`` and an empty ``out/``."""
        path = self.root / "tmp" / f"{key[:16]}-{os.getpid()}"
        shutil.rmtree(path, ignore_errors=True)
        (path / OUT).mkdir(parents=True)
        write_json(path / "step.json", description)
        return path

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
        _make_readable(step / OUT)
        whole = replace(receipt, files=hash_tree(step))
        entry = Entry(step, whole)
        entry.verify()
        sync_tree(step)
        _write_receipt(step, whole)
        target = self._path("steps", key)
        self._move(step, target)
        shutil.rmtree(self._path("failed", key), ignore_errors=True)
        self._found[key] = Entry(target, whole)
        self._verified.add(key)
        return self._found[key]

    def reject(self, key: str, step: Path, status: str, reason: str, receipt: Receipt) -> Rejected:
        """Keep a failed step's log and reason; its output is thrown away."""
        shutil.rmtree(step / OUT, ignore_errors=True)
        write_json(step / STATUS, {"status": status, "reason": reason})
        _write_receipt(step, receipt)
        target = self._path("failed", key)
        self._move(step, target)
        return Rejected(target, status, reason)

    def _move(self, step: Path, target: Path) -> None:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        step.rename(target)
        for folder in (target.parent, target.parent.parent):
            sync_folder(folder)

    def _path(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key

    # --- one writer --------------------------------------------------------------------------------------------------

    def lock(self) -> FileLock:
        """Take the work folder for this process; raises UsageError that says who holds it."""
        self.root.mkdir(parents=True, exist_ok=True)
        holder = self.root / "lock.holder"
        lock = FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text("utf-8").strip() if holder.exists() else "another process"
            raise UsageError(f"{self.root} is in use by {who}", "wait for that run, or stop it with Ctrl-C") from None
        except OSError as error:
            raise EnvironmentProblem(
                f"{self.root}: {error.strerror}", "make the folder writable, or use --work"
            ) from None
        holder.write_text(f"process {os.getpid()} since {time.strftime('%H:%M:%S')}", "utf-8")
        shutil.rmtree(self.root / "tmp", ignore_errors=True)  # whatever lies there is of a run that died
        takeover.remove(self.root / "scratch")
        self._writes = True
        self._damaged.clear()
        return lock

    # --- cleaning ----------------------------------------------------------------------------------------------------

    def old_entries(self, older_than_s: float) -> Iterator[tuple[Path, int]]:
        """Finished, failed and damaged steps not made or used within that time, with their sizes in bytes."""
        limit = time.time() - older_than_s
        for kind in ("steps/??/*", "failed/??/*", "damaged/*"):
            for path in sorted(self.root.glob(kind)):
                if path.stat().st_mtime < limit:
                    yield path, size_of(path)

    def touch(self, key: str) -> None:
        """Note that a step was used, where it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._path("steps", key))


def _make_readable(folder: Path) -> None:
    """Let everybody read an output: a container that is run by hand is another user, and some libraries write 0600."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def log_tail(step: Path, lines: int = 15) -> str:
    """The end of a step's log."""
    try:
        with (step / LOG).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_END))
            text = log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _write_receipt(step: Path, receipt: Receipt) -> None:
    data = values.dump(receipt)
    write_json(step / RECEIPT, {"receipt": data, "sha256": _check(data)}, sync=True)


def _read_receipt(step: Path) -> Receipt:
    """Raises Damaged where the receipt is missing, is not what was written, or is of another version."""
    content = values.read_object(step / RECEIPT)
    if content.get("sha256") != _check(content.get("receipt")):
        raise Damaged(f"{RECEIPT}: not what was written")
    return values.parse(Receipt, content["receipt"], RECEIPT)


def _check(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _hash(file: Path) -> str | None:
    try:
        return hash_file(file)
    except OSError:
        return None
