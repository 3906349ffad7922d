"""Energy of the processor packages, from the counters of RAPL (running average power limit) that Linux shows below powercap.

Only root may read them since they were found to leak secrets (CVE-2020-8694), and virtual machines have none: where they cannot
be read, energy is empty with the reason. The worker prints when its steady state begins and ends; the counters are read at
these two lines, so that nothing polls. They count everything that the packages did meanwhile.

Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.contracts.step import STEADY_BEGINS, STEADY_ENDS

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class EnergyReading:
    """Joules of one job's steady state, or why there are none."""

    joules: float | None
    reason: str | None


@dataclass
class PackageEnergy:
    """The energy of one job's steady state, joules; None until it has ended, or where the machine does not tell."""

    counters: list[Path]
    reason: str | None = None  # why nothing can be measured
    joules: float | None = None
    _before: list[int] = field(default_factory=list)

    @property
    def reading(self) -> EnergyReading:
        """What came of it."""
        return EnergyReading(self.joules, self.reason)

    @classmethod
    def of_this_machine(cls, root: Path = POWERCAP) -> PackageEnergy:
        """A meter with the counter of every package."""
        counters = [zone / "energy_uj" for zone in sorted(root.glob("intel-rapl:*")) if _is_package(zone)]
        if not counters:
            return cls([], "this machine shows no energy counters of its processor (RAPL); virtual machines have none")
        try:
            for counter in counters:
                _read(counter)
        except OSError:
            return cls([], "only root may read the energy counters of the processor (RAPL)")
        return cls(counters)

    def on_line(self, line: str) -> None:
        """Look at a line of the job."""
        if line == STEADY_BEGINS:
            self._before = [_read(counter) for counter in self.counters]
        elif line == STEADY_ENDS and self._before:
            pairs = zip(self.counters, self._before, strict=True)
            self.joules = sum(_passed(counter, before) for counter, before in pairs) / 1e6


def _is_package(zone: Path) -> bool:
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False


def _read(counter: Path) -> int:
    return int(counter.read_text())


def _passed(counter: Path, before: int) -> int:
    """Microjoules since ``before``; a counter starts again from 0 at the end of its range."""
    now = _read(counter)
    return now - before if now >= before else now - before + int(counter.with_name("max_energy_range_uj").read_text())
