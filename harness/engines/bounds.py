"""How much one step may write, print and leave, and the environment variables that say otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass

from harness.errors import UsageError

#: Environment variables that raise or lower the bounds.
SETTINGS = {
    "bytes": "MATRIX_OUTPUT_BYTES",
    "entries": "MATRIX_OUTPUT_FILES",
    "log_bytes": "MATRIX_LOG_BYTES",
    "free_bytes": "MATRIX_FREE_BYTES",
    "tmp_bytes": "MATRIX_TMP_BYTES",
    "shm_bytes": "MATRIX_SHM_BYTES",
}


@dataclass(frozen=True)
class Bounds:
    """How much one step may write and leave."""

    bytes: int = 256 * 2**30  # in its folder; of one file of it, wherever it lies
    entries: int = 100_000  # files and folders
    depth: int = 32  # folders below each other
    status_bytes: int = 2**20  # of status.json
    log_bytes: int = 8 * 2**20  # of the log, half of its head and half of its tail
    free_bytes: int = 2**30  # that it leaves free on a disk
    tmp_bytes: int = 2**30  # of a container's /tmp, which is memory
    shm_bytes: int = 256 * 2**20  # of a container's /dev/shm

    @classmethod
    def from_environment(cls) -> Bounds:
        """The defaults, but for what the variables in SETTINGS say. Raises UsageError for one that is no number."""
        given = {name: os.environ[variable] for name, variable in SETTINGS.items() if os.environ.get(variable)}
        for name, value in given.items():
            if not (value.isascii() and value.isdecimal()) or not 0 < len(value) <= 18 or not int(value):
                unit = "files and folders" if name == "entries" else "bytes"
                raise UsageError(
                    f"{SETTINGS[name]} is {value[:40]!r}",
                    f"set it to a whole number of {unit}, such as {getattr(cls, name)}",
                )
        return cls(**{name: int(value) for name, value in given.items()})


def told(name: str, bounds: Bounds) -> str:
    """A bound in bytes and its setting, such as ``1 GiB (MATRIX_TMP_BYTES is the bound)``."""
    return f"{size(getattr(bounds, name))} ({SETTINGS[name]} is the bound)"


def size(count: int) -> str:
    """Bytes in the unit that fits: ``1 GiB``, ``1.5 MiB``, ``300 bytes``."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 2**power:
            return f"{count / 2**power:,.3g} {unit}"
    return f"{count} bytes"
