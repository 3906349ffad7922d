"""Measure one artifact in one runtime: phases, latency, memory; and evaluate it on held-out data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, cast

from harness import tasks
from harness.contracts.adapter import Adapter, Arrays, GenerativeAdapter
from harness.contracts.cards import RuntimeCard
from harness.contracts.marks import STEADY_BEGINS, STEADY_ENDS
from harness.worker import memory
from harness.worker.environment import Noise, Snapshot
from harness.worker.fidelity import Comparison, Reference
from harness.worker.loop import Sampling, Timed, collect
from harness.worker.vram import VramMeter


@dataclass(frozen=True)
class Subject:
    """What is measured: an artifact, in a runtime, on a device."""

    card: RuntimeCard
    adapter: type[Adapter]
    artifact: Path
    manifest: Mapping[str, Any]
    device: str
    threads: int

    @property
    def weights_bytes(self) -> int:
        """Size of the weight files, as the manifest names them."""
        return sum((self.artifact / name).stat().st_size for name in self.manifest["weights"])


@dataclass
class _Phases:
    """Time and peak resident memory of each phase, in order."""

    record: dict[str, dict[str, Any]] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        restarted = memory.restart_peak()
        start = perf_counter()
        yield
        seconds = perf_counter() - start
        peak = memory.resident().peak_bytes if restarted else None
        self.record[name] = {"seconds": seconds, "peak_rss_bytes": peak}


@dataclass
class _Generation:
    """Times of the parts of each text-generation request, nanoseconds."""

    prefill_ns: list[int] = field(default_factory=list)
    decode_ns: list[int] = field(default_factory=list)


def measure(
    subject: Subject, data: Path, sampling: Sampling, mark: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Load, call once, warm up, sample. Returns the raw record of one round; raises what the runtime raises.

    ``mark`` is told where the steady state begins and ends.
    """
    batches = tasks.get(subject.manifest["task"]).workload_batches(data)
    phases = _Phases()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with VramMeter(subject.device) as vram:
        with phases.phase("import"):
            adapter = subject.adapter(subject.device, subject.threads, subject.card.mode)
        floor = memory.resident()
        with phases.phase("load"):
            adapter.load(subject.artifact, subject.manifest)
        generation = _Generation()
        timed = _timed(adapter, subject.manifest["task"], generation)
        with phases.phase("first_inference"):
            timed(batches[0])
        mark(STEADY_BEGINS)
        before, energy = Snapshot.take(), vram.energy_j()
        with phases.phase("steady"):
            samples = collect(timed, batches, sampling)
        noise, energy_after = Noise.between(before, Snapshot.take()), vram.energy_j()
        mark(STEADY_ENDS)
        steady = memory.resident()
        device_memory = vram.read()
    peaks = [phase["peak_rss_bytes"] or 0 for phase in phases.record.values()]
    kept = slice(1 + samples.warmup_calls, None, samples.every)  # the first request was that of the first inference
    arithmetic = adapter.precision()
    adapter.close()
    return {
        "measured_at": started,
        "phases": phases.record,
        "latency": {**asdict(samples), "noisy": noise.verdict()},
        "calls_per_sample": 1 + batches[0]["continuation_ids"].shape[1] if generation.prefill_ns else 1,
        "generation": {
            "prefill_ns": generation.prefill_ns[kept],
            "decode_ns": generation.decode_ns[kept],
        }
        if generation.prefill_ns
        else None,
        "memory": {
            "peak_rss_bytes": max(*peaks, steady.peak_bytes),
            "floor_bytes": floor.now_bytes,
            "anonymous_bytes": steady.anonymous_bytes,
            "file_bytes": steady.file_bytes,
            "container_peak_bytes": memory.container_peak_bytes(),
        },
        "vram": asdict(device_memory),
        "noise": asdict(noise),
        "steady_calls": samples.warmup_calls + samples.calls,
        "gpu_energy_j": None if energy is None or energy_after is None else energy_after - energy,
        "arithmetic": arithmetic,
        "weights_bytes": subject.weights_bytes,
    }


def _timed(adapter: Adapter, task: str, generation: _Generation) -> Timed:
    """One call of the task, timed. For text generation a call is a request: prefill, then one decode per given token."""

    def call(batch: Arrays) -> int:
        start = perf_counter_ns()
        adapter.run(batch)
        return perf_counter_ns() - start

    def request(batch: Arrays) -> int:
        prompt, continuation = batch["input_ids"], batch["continuation_ids"]
        columns = [continuation[:, i] for i in range(continuation.shape[1])]
        start = perf_counter_ns()
        generative.prefill(prompt)
        first = perf_counter_ns()
        for token in columns:
            generative.decode(token)
        end = perf_counter_ns()
        generation.prefill_ns.append(first - start)
        generation.decode_ns.append(end - first)
        return end - start

    generative = cast(GenerativeAdapter, adapter)
    return request if task == "text-generation" else call


def evaluate(subject: Subject, data: Path, watch: Reference | Comparison | None = None) -> dict[str, Any]:
    """Run the held-out examples, one at a time and unpadded, and score them; ``watch`` sees all outputs.

    Returns the score; what is kept of the outputs stays in memory only as long as the task needs it.
    """
    task = tasks.get(subject.manifest["task"])
    adapter = subject.adapter(subject.device, subject.threads, subject.card.mode)
    adapter.load(subject.artifact, subject.manifest)
    start = perf_counter()
    predictions = []
    for inputs in task.evaluation_batches(data):
        logits = adapter.run(inputs)["logits"]
        predictions.append(task.reduce(logits, inputs))
        if watch:
            watch.see(logits)
    seconds = perf_counter() - start
    adapter.close()
    score = task.score(predictions, data)
    fidelity = watch.record() if isinstance(watch, Comparison) else None
    return {**asdict(score), "examples": score.examples, "fidelity": fidelity, "seconds": seconds}
