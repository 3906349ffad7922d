"""The store: content-addressed steps under ``.matrix/``.

A step is made in ``tmp/`` and renamed to ``steps/<kk>/<key>/`` once it is whole: a reader sees all of it or nothing, and a run
that is killed loses at most the step in flight. ``receipt.json`` lists the hash of every file of ``out/``; they are checked
when the output is used, for a cache entry is verified, never trusted. Failed steps are kept apart, in ``failed/``, with
their logs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import EnvironmentProblem, UsageError


@dataclass(frozen=True)
class Entry:
    """A step that has run: its folder."""

    path: Path

    @property
    def out(self) -> Path:
        """What the step made."""
        return self.path / "out"

    @cached_property
    def status(self) -> dict[str, Any]:
        """What the step itself says of how it ended."""
        return read_json(self.path / "status.json")

    @cached_property
    def receipt(self) -> dict[str, Any]:
        """What the orchestrator recorded: engine, command, image, duration, hashes of the output."""
        return read_json(self.path / "receipt.json")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The artifact's manifest; empty for steps that make none."""
        return read_json(self.out / "manifest.json")

    def record(self) -> dict[str, Any]:
        """The record of a measure or evaluate step."""
        return read_json(self.out / "record.json")

    def log_tail(self, lines: int = 15) -> str:
        """The end of the step's log."""
        log = self.path / "log.txt"
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:]) if log.exists() else ""


class Store:
    """The work folder of one matrix; ``lock`` makes this process its only writer."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()  # steps run elsewhere: their paths must not depend on where
        self._verified: set[str] = set()

    # --- reading -----------------------------------------------------------------------------------------------------

    def find(self, key: str) -> Entry | None:
        """The finished step of that key, or None. Without a receipt that can be read a step is not finished."""
        entry = Entry(self._path("steps", key))
        return entry if "files" in entry.receipt else None

    def failure(self, key: str) -> Entry | None:
        """The last failed attempt at that step, or None."""
        path = self._path("failed", key)
        return Entry(path) if path.exists() else None

    def output(self, key: str) -> Path | None:
        """The verified output folder of a step, or None if it is not there. A damaged entry is thrown away."""
        entry = self.find(key)
        if entry is None:
            return None
        if key not in self._verified:
            if hash_tree(entry.out) != entry.receipt["files"]:
                shutil.rmtree(entry.path)
                return None
            self._verified.add(key)
        return entry.out

    # --- writing -----------------------------------------------------------------------------------------------------

    def begin(self, key: str, description: Mapping[str, Any]) -> Path:
        """A fresh step folder with ``step.json`` and an empty ``out/``."""
        path = self.root / "tmp" / f"{key[:16]}-{os.getpid()}"
        shutil.rmtree(path, ignore_errors=True)
        (path / "out").mkdir(parents=True)
        write_json(path / "step.json", description)
        return path

    def publish(self, key: str, step: Path, receipt: Mapping[str, Any]) -> Entry:
        """Make a whole step the store's: its output is hashed, and it appears at once."""
        _make_readable(step / "out")
        write_json(step / "receipt.json", {**receipt, "files": hash_tree(step / "out")})
        self._verified.add(key)
        self._move(step, self._path("steps", key))
        shutil.rmtree(self._path("failed", key), ignore_errors=True)
        return Entry(self._path("steps", key))

    def reject(self, key: str, step: Path, status: Mapping[str, Any], receipt: Mapping[str, Any]) -> Entry:
        """Keep a failed step's log and reason; its output is thrown away."""
        shutil.rmtree(step / "out", ignore_errors=True)
        write_json(step / "status.json", status)
        write_json(step / "receipt.json", receipt)
        self._move(step, self._path("failed", key))
        return Entry(self._path("failed", key))

    def _move(self, step: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        step.rename(target)

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
        return lock

    # --- cleaning ----------------------------------------------------------------------------------------------------

    def old_entries(self, older_than_s: float) -> Iterator[tuple[Path, int]]:
        """Finished and failed steps not made or used within that time, with their sizes in bytes."""
        limit = time.time() - older_than_s
        for kind in ("steps", "failed"):
            for path in sorted(self.root.glob(f"{kind}/??/*")):
                if path.stat().st_mtime < limit:
                    yield path, size_of(path)

    def touch(self, key: str) -> None:
        """Note that a finished step was used."""
        os.utime(self._path("steps", key))


def _make_readable(folder: Path) -> None:
    """Let everybody read an output: a container that is run by hand is another user, and some libraries write 0600."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def hash_tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its relative name."""
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            found[file.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def hash_of(files: Mapping[str, str]) -> str:
    """One SHA-256 for a folder: over the sorted names and hashes of its files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def write_json(file: Path, data: Any) -> None:
    """Write a file whole or not at all."""
    temporary = file.with_name(f"{file.name}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def read_json(file: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none that can be read."""
    try:
        data: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return data
