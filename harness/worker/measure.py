"""Measure one artifact in one runtime: phases, latency, memory. Knows how the model is called, not what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.contracts import prepared
from harness.contracts.record import (
    LatencyRecord,
    Measurement,
    MemoryRecord,
    PhaseRecord,
    RuntimeRecord,
)
from harness.contracts.step import STEADY_BEGINS, STEADY_ENDS
from harness.worker import memory
from harness.worker.calls import Parts, calls_per_sample, timed
from harness.worker.environment import Snapshot, noise_between, verdict
from harness.worker.loop import Sampling, collect
from harness.worker.subject import Subject
from harness.worker.vram import VramMeter


@dataclass
class _Phases:
    """Time and peak resident memory of each phase, in order."""

    record: dict[str, PhaseRecord] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        restarted = memory.restart_peak()
        start = perf_counter()
        yield
        seconds = perf_counter() - start
        peak = memory.resident().peak_bytes if restarted else None
        self.record[name] = PhaseRecord(seconds, peak)


def run(subject: Subject, inputs: Mapping[str, Path], spec: Mapping[str, Any], out: Path) -> RuntimeRecord:
    """The step: measure on the prepared workload ``data``; the marks go to the standard output."""
    measured = measure(subject, inputs["data"], Sampling(**spec["sampling"]), partial(print, flush=True))
    return RuntimeRecord(measurement=measured)


def measure(
    subject: Subject, data: Path, sampling: Sampling, mark: Callable[[str], None] = lambda line: None
) -> Measurement:
    """Load, call once, warm up, sample. Returns the raw record of one round; raises what the runtime raises.

    ``mark`` is told where the steady state begins and ends.
    """
    batches, call = prepared.load_batches(data), subject.manifest.call
    phases, parts = _Phases(), Parts()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with VramMeter(subject.device) as vram:
        with phases.phase("import"):
            adapter = subject.start()
        floor = memory.resident()
        with phases.phase("load"):
            adapter.load(subject.artifact, subject.manifest)
        sample = timed(call, adapter, parts)
        with phases.phase("first_inference"):
            sample(batches[0])
        mark(STEADY_BEGINS)
        before, energy = Snapshot.take(), vram.energy_j()
        with phases.phase("steady"):
            samples = collect(sample, batches, sampling)
        noise, energy_after = noise_between(before, Snapshot.take()), vram.energy_j()
        mark(STEADY_ENDS)
        steady = memory.resident()
        device_memory = vram.read()
    peaks = [phase.peak_rss_bytes or 0 for phase in phases.record.values()]
    kept = slice(1 + samples.warmup_calls, None, samples.every)  # the first request was that of the first inference
    arithmetic = adapter.precision()
    adapter.close()
    return Measurement(
        machine=subject.machine,
        measured_at=started,
        phases=phases.record,
        latency=LatencyRecord(**asdict(samples), noisy=verdict(noise)),
        calls_per_sample=calls_per_sample(call, batches[0]),
        generation=parts.record(kept),
        memory=MemoryRecord(
            peak_rss_bytes=max(*peaks, steady.peak_bytes),
            floor_bytes=floor.now_bytes,
            anonymous_bytes=steady.anonymous_bytes,
            file_bytes=steady.file_bytes,
            container_peak_bytes=memory.container_peak_bytes(),
        ),
        vram=device_memory,
        noise=noise,
        steady_calls=samples.warmup_calls + samples.calls,
        gpu_energy_j=None if energy is None or energy_after is None else energy_after - energy,
        arithmetic=arithmetic,
        weights_bytes=subject.weights_bytes,
    )
