"""Host memory as the kernel accounts for it: high-water marks, not polling, which misses short spikes.

``VmHWM`` is the largest resident set of this process (proc(5)); writing 5 to ``clear_refs`` starts it anew, so that each
phase has a peak of its own. The container's peak also counts page cache and child processes
(cgroup v2 ``memory.peak``, Linux 5.19 and newer; cgroup v1 ``memory.max_usage_in_bytes``).
"""

from __future__ import annotations

import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_CONTAINER_PEAK = (
    Path("/sys/fs/cgroup/memory.peak"),
    Path("/sys/fs/cgroup/memory/memory.max_usage_in_bytes"),
)
_IN_CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))


@dataclass(frozen=True)
class Resident:
    """The process's resident memory now, bytes. The split is None where the system does not tell it."""

    now_bytes: int
    peak_bytes: int
    anonymous_bytes: int | None
    file_bytes: int | None


def resident() -> Resident:
    """Read what is resident, and the high-water mark since the start or the last ``restart_peak``."""
    if not _STATUS.exists():
        return _resident_elsewhere()
    fields = {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", _STATUS.read_text(), re.M)}
    return Resident(
        now_bytes=fields["VmRSS"],
        peak_bytes=fields["VmHWM"],
        anonymous_bytes=fields.get("RssAnon"),
        file_bytes=fields.get("RssFile"),
    )


def _resident_elsewhere() -> Resident:
    """Systems without /proc: the high-water mark of getrusage(2), bytes on macOS and KiB elsewhere."""
    import psutil

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Resident(psutil.Process().memory_info().rss, peak, None, None)


def restart_peak() -> bool:
    """Let the high-water mark start anew from what is resident now; False where the kernel does not allow it."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def container_peak_bytes() -> int | None:
    """The container's own high-water mark, page cache included; None outside a container or where the kernel keeps none."""
    if not any(mark.exists() for mark in _IN_CONTAINER):
        return None
    for file in _CONTAINER_PEAK:
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            continue
    return None
