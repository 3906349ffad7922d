"""What a runtime writes of one step, ``record.json``: a measurement, an evaluation, or why it did not take the model.

Raw numbers only: statistics are the host's. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.contracts.machine import Machine

VERSION = 1  #: a reader refuses another


def _positive(name: str, *numbers: float) -> None:
    """Raise ValueError for a number with which no time or rate can be computed."""
    if not all(0 < number < math.inf for number in numbers):
        raise ValueError(f"{name}: expected a finite number above 0, got {min(numbers):.4g}")


def _count(name: str, *numbers: float | None) -> None:
    """Raise ValueError for what counts nothing; None is not known."""
    if not all(0 <= number < math.inf for number in numbers if number is not None):
        raise ValueError(f"{name}: expected a finite number from 0")


def _some(name: str, values: Iterable[object] | None) -> None:
    if values is not None and not values:
        raise ValueError(f"{name}: expected at least one")


@dataclass(frozen=True)
class LatencyRecord:
    """What the timed loop saw, in order: the first call after the warm-up, and from there every ``every``-th."""

    nanoseconds: list[int]
    every: int
    calls: int
    warmup_calls: int
    ended_by: str  # "precision" or "budget"
    pace_ns: list[float]  # quartiles of all looks at the processor's pace
    noisy: str | None  # why the round is suspect by its own counters

    def __post_init__(self) -> None:
        """Refuse samples from which no latency follows."""
        _some("nanoseconds", self.nanoseconds)
        _positive("nanoseconds", *self.nanoseconds)
        _positive("every", self.every)
        _count("calls", self.calls, self.warmup_calls)
        if len(self.pace_ns) != 3:
            raise ValueError(f"pace_ns: expected 3 quartiles, got {len(self.pace_ns)}")
        _positive("pace_ns", *self.pace_ns)


@dataclass(frozen=True)
class GenerationRecord:
    """Times of the parts of each request that was kept, nanoseconds."""

    prefill_ns: list[int]
    decode_ns: list[int]
    encode_ns: list[int] | None = None  # of models with an encoder

    def __post_init__(self) -> None:
        """Refuse times from which no rate follows."""
        for name in ("prefill_ns", "decode_ns", "encode_ns"):
            times = getattr(self, name)
            _some(name, times)
            _positive(name, *(times or [1]))


@dataclass(frozen=True)
class PhaseRecord:
    """One phase of a container's life."""

    seconds: float
    peak_rss_bytes: int | None  # None where the kernel's high-water mark can't be started anew

    def __post_init__(self) -> None:
        """Refuse what is no duration or no size."""
        _count("seconds", self.seconds)
        _count("peak_rss_bytes", self.peak_rss_bytes)


@dataclass(frozen=True)
class MemoryRecord:
    """Host memory of the measuring process by the kernel's accounts, bytes."""

    peak_rss_bytes: int
    floor_bytes: int
    anonymous_bytes: int | None
    file_bytes: int | None
    container_peak_bytes: int | None

    def __post_init__(self) -> None:
        """Refuse what is no size."""
        for name, size in vars(self).items():
            _count(name, size)


@dataclass(frozen=True)
class VramRecord:
    """Peak device memory above idle, bytes, or the reason why it is not known."""

    peak_bytes: int | None
    reason: str | None

    def __post_init__(self) -> None:
        """Refuse what is no size."""
        _count("peak_bytes", self.peak_bytes)


@dataclass(frozen=True)
class NoiseRecord:
    """How quiet the machine was from the first to the last sample; shares are of all CPU time."""

    steal_share: float
    others_share: float
    throttled: int
    major_faults: int = 0
    preempted: int = 0
    load_before: float | None = None
    clock_before_mhz: float | None = None
    clock_after_mhz: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is not finite."""
        for name, value in vars(self).items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number")


@dataclass(frozen=True)
class Measurement:
    """One round: an artifact timed in a runtime."""

    machine: Machine
    measured_at: str  # UTC, ISO 8601
    phases: Mapping[str, PhaseRecord]
    latency: LatencyRecord
    calls_per_sample: int
    generation: GenerationRecord | None
    memory: MemoryRecord
    vram: VramRecord
    noise: NoiseRecord
    steady_calls: int  # warm-up and samples
    gpu_energy_j: float | None
    arithmetic: str
    weights_bytes: int

    def __post_init__(self) -> None:
        """Refuse counts and sizes that are none."""
        _positive("calls_per_sample", self.calls_per_sample)
        _positive("steady_calls", self.steady_calls)
        _count("weights_bytes", self.weights_bytes)
        _count("gpu_energy_j", self.gpu_energy_j)
        _some("phases", self.phases)


@dataclass(frozen=True)
class MetricRecord:
    """One metric over all examples, with its 95 % interval."""

    name: str
    value: float
    interval: tuple[float, float] | None  # None with fewer than two examples


@dataclass(frozen=True)
class FidelityRecord:
    """How near the outputs come to those of the reference, over all positions that were compared."""

    positions: int
    top1_agreement: float
    kl_divergence: float  # nats, mean
    max_logit_difference: float


@dataclass(frozen=True)
class Evaluation:
    """The held-out examples, scored. ``tallies`` holds what each example adds to the sums that the metrics are functions of."""

    machine: Machine
    metrics: list[MetricRecord]  # the first is the main one
    tallies: list[list[float]]  # [examples][k]
    fidelity: FidelityRecord | None
    seconds: float

    def __post_init__(self) -> None:
        """Refuse a score of nothing, and tallies that make no table."""
        _some("metrics", self.metrics)
        _some("tallies", self.tallies)
        if len({len(each) for each in self.tallies}) != 1 or not self.tallies[0]:
            raise ValueError("tallies: expected as many numbers of each example")
        _count("seconds", self.seconds)

    @property
    def examples(self) -> int:
        """How many were scored."""
        return len(self.tallies)


@dataclass(frozen=True)
class RuntimeRecord:
    """The content of ``record.json``: exactly one of its three parts."""

    measurement: Measurement | None = None
    evaluation: Evaluation | None = None
    unsupported: str | None = None  # why the runtime does not take the model
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse a record of nothing, of two things, or of another version."""
        if sum(part is not None for part in (self.measurement, self.evaluation, self.unsupported)) != 1:
            raise ValueError("expected one of measurement, evaluation and unsupported")
        if self.version != VERSION:
            raise ValueError(f"version: expected {VERSION}, got {self.version}")
