"""Device memory through NVML, at the level of the device.

Per-process numbers are wrong inside containers (NVML tells process ids of the host), so the device's used memory is read
before anything is loaded and at its peak, and a second user of the GPU makes the number void.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from harness.contracts.record import VramRecord

_PERIOD_S = 0.02


class VramMeter:
    """Watches a device from before the load until ``read``. On a CPU it does nothing and says so.

    NVML keeps no high-water mark, so the peak is polled (50 Hz) by a thread that sleeps between readings; a spike shorter
    than that can be missed, which the methodology states.
    """

    def __init__(self, device: str) -> None:
        self._reason: str | None = "measured on a CPU" if device == "cpu" else None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._idle = self._peak = 0
        self._nvml: Any = None

    def __enter__(self) -> VramMeter:
        if self._reason:
            return self
        try:
            import pynvml

            pynvml.nvmlInit()
            self._nvml, self._handle = pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
            self._idle = self._peak = self._used()
            self._require_processes(0)
        except Exception as error:  # NVML's errors share no base with the import error that is as likely here
            self._reason = f"NVML does not answer: {error}"
            return self
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def read(self) -> VramRecord:
        """The peak so far."""
        if self._thread:
            self._require_processes(1)
        if self._reason:
            return VramRecord(None, self._reason)
        self._peak = max(self._peak, self._used())
        return VramRecord(self._peak - self._idle, None)

    def energy_j(self) -> float | None:
        """Joules that the device has used since its driver was loaded; None where it does not tell (before Volta)."""
        if self._reason:
            return None
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3
        except self._nvml.NVMLError:
            return None

    def _require_processes(self, at_most: int) -> None:
        """Whose the processes are cannot be told, but how many there are: none before the load, then this one."""
        if len(self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) > at_most:
            self._reason = "another process uses this GPU"

    def _used(self) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)

    def _watch(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            self._peak = max(self._peak, self._used())
