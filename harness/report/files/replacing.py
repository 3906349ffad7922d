"""Files that are replaced together: all are whole on the disk before the first takes its place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.errors import told_of_disk


def replace(folder: Path, files: Iterable[tuple[str, str | bytes]]) -> list[Path]:
    """Write files, each with its name, into ``folder``, which is made where it is missing; returns their paths.

    One file at a time is in memory. A reader, or a killed run, never meets half a file, and finds the first one replaced only
    when all others are. Raises EnvironmentProblem where the disk refuses; then all files are
    what they were.
    """
    temporary: dict[Path, Path] = {}
    with told_of_disk(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files:
                descriptor, path = tempfile.mkstemp(dir=folder, prefix=f".{name[:40]}.")
                temporary[folder / name] = Path(path)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content.encode("utf-8") if isinstance(content, str) else content)
                    file.flush()
                    os.fsync(file.fileno())  # only now the disk has said whether it takes it
                Path(path).chmod(0o644)
            for target, written in reversed(temporary.items()):
                written.replace(target)
        except BaseException:
            for written in temporary.values():
                written.unlink(missing_ok=True)
            raise
    return list(temporary)
