"""Whether a report is still what a run would draw, told without reading what thousands of steps left.

A run that has nothing left to do marks its report with a fingerprint of all that its rows come from. While the fingerprint is
the same, the next run stops there. Of files it holds what the file system tells, times, size and inode, as git's index does: a
change of any file of a step leads to the full path, which verifies and heals. ``harness doctor --store`` reads everything.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

from harness.catalog import PACKAGE, places
from harness.commands.workspace import Workspace
from harness.contracts.files import write_atomically
from harness.matrix.plan import Plan
from harness.runner import selftest

FOLDER = "drawn"  # of the work folder: a mark for each folder that reports were drawn into

REPORT = ("results.json", "results.csv", "README.md", "index.html")


def is_current(workspace: Workspace) -> bool:
    """Whether the report is that of a run with nothing left to do, and all that it came from is as it was then."""
    try:
        kept = _mark(workspace).read_text("utf-8")
    except OSError:
        return False
    return kept == _fingerprint(workspace)


def mark(workspace: Workspace) -> None:
    """Note that nothing is left to do, and that the report shows it."""
    file = _mark(workspace)
    file.parent.mkdir(exist_ok=True)
    write_atomically(file, _fingerprint(workspace))


def _mark(workspace: Workspace) -> Path:
    name = hashlib.sha256(str(workspace.out.resolve()).encode()).hexdigest()[:16]
    return workspace.store.root / FOLDER / name


def _fingerprint(workspace: Workspace) -> str:
    plan, engine, store = workspace.plan, workspace.engine, workspace.store
    parts = [
        workspace.matrix_file.read_text("utf-8"),
        [engine.name, engine.version, workspace.engine_reason, engine.caveats],
        astuple(workspace.here),
        places.revision(),
        sorted(workspace.catalog.images),
        [_stat(workspace.out / name) for name in REPORT],
        _stat(store.root / selftest.FILE),
        list(_below(PACKAGE)),
        sorted(plan.picked),
        [repr(planned) for planned in plan.cells],
        {key: list(_below(store.path(key))) for key in sorted(_read(plan))},
    ]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _read(plan: Plan) -> set[str]:
    """The steps that rows are read from, with those that made their artifacts."""
    cells = plan.cells
    made = plan.upstream([planned.artifact for planned in cells if planned.artifact])
    seen = {key for planned in cells for key in (*planned.leaves, *planned.extra, planned.reference) if key}
    return made | seen | set(plan.overhead)


def _below(folder: Path) -> Iterator[tuple[object, ...]]:
    """What the file system tells of every file below a folder, but for byte code; of a folder that is not there, nothing."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            yield name, _stat(f"{parent}/{name}")


def _stat(file: str | Path) -> list[int] | None:
    try:
        found = os.lstat(file)
    except FileNotFoundError:
        return None
    return [found.st_mode, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
