"""Energy is what the counters moved between two lines; where there are none, or they are not ours to read, it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.contracts.step import STEADY_BEGINS, STEADY_ENDS
from harness.engines.energy import PackageEnergy


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages, one of them with a core domain, which its package already counts."""
    zones = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:1": "package-1"}
    for zone, name in zones.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(name + "\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("10000000\n")
        put(tmp_path, zone, 1_000_000)
    return tmp_path


def put(powercap: Path, zone: str, microjoules: int) -> None:
    (powercap / zone / "energy_uj").write_text(f"{microjoules}\n")


def test_the_packages_add_up_and_their_parts_do_not(powercap: Path) -> None:
    meter = PackageEnergy.of_this_machine(powercap)
    assert meter.reason is None
    for line in ("something else", STEADY_BEGINS):
        meter.on_line(line)
    put(powercap, "intel-rapl:0", 3_000_000)
    put(powercap, "intel-rapl:0:0", 2_500_000)
    put(powercap, "intel-rapl:1", 1_500_000)
    meter.on_line(STEADY_ENDS)
    assert meter.joules == pytest.approx(2.5)


def test_a_counter_may_start_again(powercap: Path) -> None:
    meter = PackageEnergy.of_this_machine(powercap)
    put(powercap, "intel-rapl:0", 9_000_000)
    meter.on_line(STEADY_BEGINS)
    put(powercap, "intel-rapl:0", 500_000)
    meter.on_line(STEADY_ENDS)
    assert meter.joules == pytest.approx(1.5)


def test_a_job_that_never_ends_its_steady_state_has_no_energy(powercap: Path) -> None:
    meter = PackageEnergy.of_this_machine(powercap)
    meter.on_line(STEADY_BEGINS)
    assert meter.joules is None


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    meter = PackageEnergy.of_this_machine(tmp_path)
    for line in (STEADY_BEGINS, STEADY_ENDS):
        meter.on_line(line)
    assert meter.joules is None
    assert "virtual machines have none" in str(meter.reason)


def test_counters_that_are_not_ours_to_read_say_so(powercap: Path) -> None:
    (powercap / "intel-rapl:0" / "energy_uj").unlink()  # unreadable for root as well
    (powercap / "intel-rapl:0" / "energy_uj").mkdir()
    meter = PackageEnergy.of_this_machine(powercap)
    meter.on_line(STEADY_BEGINS)
    meter.on_line(STEADY_ENDS)
    assert meter.joules is None
    assert "only root" in str(meter.reason)
