"""Device memory and energy, from NVML as it was recorded: the device's numbers, never a process's, and none where void."""

# ruff: noqa: N802  names as NVML has them

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness.contracts.record import VramRecord
from harness.worker.vram import VramMeter

MIB = 2**20


class NVMLError(Exception):
    """What NVML raises for all that goes wrong."""


class Nvml:
    """A device whose memory follows ``used``, one value a reading, the last one for ever."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        self.used: Iterator[int] = iter(())
        self.processes = 0
        self.energy_mj: int | None = 5000
        self.init_error: str | None = None
        self._last = 400 * MIB

    def nvmlInit(self) -> None:
        if self.init_error:
            raise NVMLError(self.init_error)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        self._last = next(self.used, self._last)
        return SimpleNamespace(used=self._last)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:
        # In a container these are process ids of the host: they say how many, never who.
        return [SimpleNamespace(pid=90001 + number, usedGpuMemory=None) for number in range(self.processes)]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if self.energy_mj is None:
            raise NVMLError("Not Supported")
        return self.energy_mj


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    recorded = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", recorded)
    return recorded


def test_a_peak_between_two_readings_of_ours_is_kept(nvml: Nvml) -> None:
    nvml.used = iter([400 * MIB, 900 * MIB, 1900 * MIB, 700 * MIB])
    with VramMeter("cuda") as meter:
        time.sleep(0.2)  # the thread reads 50 times a second
        assert meter.read() == VramRecord(1500 * MIB, None)


def test_what_was_used_before_is_not_ours(nvml: Nvml) -> None:
    nvml.used = iter([400 * MIB])
    with VramMeter("cuda") as meter:
        assert meter.read() == VramRecord(0, None)


def test_a_process_that_was_on_the_gpu_before_makes_the_number_void(nvml: Nvml) -> None:
    nvml.processes = 1
    with VramMeter("cuda") as meter:
        assert meter.read() == VramRecord(None, "another process uses this GPU")
        assert meter.energy_j() is None


def test_the_measuring_process_itself_does_not_make_it_void(nvml: Nvml) -> None:
    with VramMeter("cuda") as meter:
        nvml.processes = 1
        assert meter.read().reason is None


def test_another_process_that_came_meanwhile_makes_it_void_as_well(nvml: Nvml) -> None:
    with VramMeter("cuda") as meter:
        nvml.processes = 2
        assert meter.read() == VramRecord(None, "another process uses this GPU")


def test_an_nvml_that_does_not_answer_is_told(nvml: Nvml) -> None:
    nvml.init_error = "Driver Not Loaded"
    with VramMeter("cuda") as meter:
        assert meter.read() == VramRecord(None, "NVML does not answer: Driver Not Loaded")


def test_a_cpu_has_no_device_memory() -> None:
    with VramMeter("cpu") as meter:
        assert meter.read() == VramRecord(None, "measured on a CPU")
        assert meter.energy_j() is None


def test_energy_is_the_device_s_own_counter(nvml: Nvml) -> None:
    with VramMeter("cuda") as meter:
        before = meter.energy_j()
        nvml.energy_mj = 7500
        after = meter.energy_j()
    assert (before, after) == (5.0, 7.5)


def test_a_gpu_without_the_counter_has_no_energy(nvml: Nvml) -> None:
    nvml.energy_mj = None
    with VramMeter("cuda") as meter:
        assert meter.energy_j() is None
