"""The label that says which process a container belongs to."""

from __future__ import annotations

import socket

from harness.engines.orphans import ProcessIdentity
from harness.provision.images import LABEL

RUN_LABEL = f"{LABEL}.run"


def run_label(pid: int | None = None) -> str:
    """Which process (this one) a container belongs to: machine, process id, and when it started, for ids are used again."""
    process = ProcessIdentity.of(pid)
    return f"{socket.gethostname()}/{process.pid}/{process.started:.0f}"


def is_orphan(label: str) -> bool:
    """Whether the process on this machine that a label names is gone."""
    machine, pid, started = label.rsplit("/", 2)
    if machine != socket.gethostname():
        return False
    return not ProcessIdentity(int(pid), float(started)).lives
