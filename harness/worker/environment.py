"""What surrounds a measurement: versions, processor, and how quiet the machine was meanwhile."""

from __future__ import annotations

import os
import platform
import resource
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.contracts.record import NoiseRecord

_STAT = Path("/proc/stat")
_CPUINFO = Path("/proc/cpuinfo")
_THROTTLE = (Path("/sys/fs/cgroup/cpu.stat"), Path("/sys/fs/cgroup/cpu/cpu.stat"))

#: Above these shares of the CPUs' time a round is called noisy.
STEAL_LIMIT = 0.02
OTHERS_LIMIT = 0.10
#: More pages than this read from a disk between the first and the last sample make a round noisy.
FAULTS_LIMIT = 100
#: A clock that ends this much below where it began, as a share, makes a round noisy.
CLOCK_LIMIT = 0.10


def versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Versions of Python and of those distributions that are installed here."""
    found = {"python": platform.python_version()}
    for name in (*distributions, "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpus_allowed() -> int:
    """CPUs that this process may use (its affinity, which is the container's cpuset)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Snapshot:
    """Counters of the machine and of this process at one moment, seconds of CPU time and counts."""

    total_s: float
    busy_s: float
    steal_s: float
    own_s: float
    throttled: int
    major_faults: int = 0  # pages that had to be read from a disk
    preempted: int = 0  # times that this process had to make room for another (getrusage: ru_nivcsw)
    load: float | None = None  # of the last minute
    clock_mhz: float | None = None  # mean over the CPUs

    @classmethod
    def take(cls) -> Snapshot:
        """Read the counters; zeros where the system has none."""
        total = busy = steal = 0.0
        if _STAT.exists():
            # user nice system idle iowait irq softirq steal: proc(5)
            ticks = [
                int(field) / os.sysconf("SC_CLK_TCK") for field in _STAT.read_text().split("\n", 1)[0].split()[1:9]
            ]
            total, steal = sum(ticks), ticks[7]
            busy = total - ticks[3] - ticks[4] - steal
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(
            total,
            busy,
            steal,
            usage.ru_utime + usage.ru_stime,
            _throttled(),
            usage.ru_majflt,
            usage.ru_nivcsw,
            os.getloadavg()[0],
            _clock_mhz(),
        )


def _clock_mhz() -> float | None:
    """What the kernel says the clocks are at, proc(5); virtual machines tell a constant, and some processors nothing."""
    try:
        found = [float(line.split(":")[1]) for line in _CPUINFO.read_text().splitlines() if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return None
    return sum(found) / len(found) if found else None


def _throttled() -> int:
    for file in _THROTTLE:
        try:
            for line in file.read_text().splitlines():
                if line.startswith("nr_throttled"):
                    return int(line.split()[1])
        except OSError:
            continue
    return 0


def noise_between(before: Snapshot, after: Snapshot) -> NoiseRecord:
    """How quiet the machine was from ``before`` to ``after``."""
    total = after.total_s - before.total_s
    others = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return NoiseRecord(
        steal_share=(after.steal_s - before.steal_s) / total if total > 0 else 0.0,
        others_share=max(0.0, others / total) if total > 0 else 0.0,
        throttled=after.throttled - before.throttled,
        major_faults=after.major_faults - before.major_faults,
        preempted=after.preempted - before.preempted,
        load_before=before.load,
        clock_before_mhz=before.clock_mhz,
        clock_after_mhz=after.clock_mhz,
    )


def verdict(noise: NoiseRecord) -> str | None:
    """Why the round is noisy, or None when it was quiet."""
    if noise.throttled:
        return f"the CPU was throttled {noise.throttled} times"
    if noise.steal_share > STEAL_LIMIT:
        return f"{noise.steal_share:.0%} of the CPU time was stolen by other machines"
    if noise.others_share > OTHERS_LIMIT:
        return f"other processes used {noise.others_share:.0%} of the CPUs"
    if noise.major_faults > FAULTS_LIMIT:
        return f"{noise.major_faults} pages had to be read from a disk"
    if noise.clock_before_mhz and noise.clock_after_mhz:
        fell = 1 - noise.clock_after_mhz / noise.clock_before_mhz
        if fell > CLOCK_LIMIT:
            return f"the clock fell by {fell:.0%}, to {noise.clock_after_mhz:.0f} MHz"
    return None
