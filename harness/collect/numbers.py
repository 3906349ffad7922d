"""From the rounds of a cell to its numbers: each the statistic that docs/methodology.md names."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness import stats
from harness.contracts.record import Measurement, MemoryRecord
from harness.contracts.values import dump
from harness.results import CellNoise, Generation, Latency, Memory, Phase, Round
from harness.runner.rounds import Judge
from harness.runner.store.receipt import Receipt


def latency(records: Sequence[Measurement], counts: Sequence[bool], judge: Judge) -> Latency:
    """Of all rounds, of which only those that count make the statistics."""
    found = [_round(record, counted, judge) for record, counted in zip(records, counts, strict=True)]
    everything = [sample for round_ in found if round_.counts for sample in round_.samples_ms]
    medians = [round_.median_ms for round_ in found if round_.counts]
    return Latency(
        p50=stats.geometric_mean(medians),
        p90=stats.percentile(everything, 90),
        p99=stats.percentile(everything, 99),
        interval=stats.round_interval(medians),
        rounds=found,
    )


def _round(record: Measurement, counted: bool, judge: Judge) -> Round:
    samples = [ns / 1e6 for ns in record.latency.nanoseconds]
    return Round(
        samples_ms=samples,
        every=record.latency.every,
        median_ms=statistics.median(samples),
        ended_by=record.latency.ended_by,
        warmup_calls=record.latency.warmup_calls,
        noisy=judge.noise(record),
        pace_us=[look / 1e3 for look in record.latency.pace_ns],
        noise=CellNoise(**dump(record.noise)),
        counts=counted,
    )


def generation(records: Sequence[Measurement], workload: Mapping[str, int]) -> Generation | None:
    """Of models that generate; None for all others."""
    parts = [record.generation for record in records if record.generation]
    if not parts:
        return None
    prefill = statistics.median(ns for part in parts for ns in part.prefill_ns) / 1e9
    decode = statistics.median(ns for part in parts for ns in part.decode_ns) / 1e9
    return Generation(
        first_token_ms=prefill * 1e3,
        prefill_tokens_per_s=workload["batch"] * workload["prompt_tokens"] / prefill,
        decode_tokens_per_s=workload["batch"] * workload["generated_tokens"] / decode,
    )


def memory(records: Sequence[MemoryRecord]) -> Memory:
    """Medians over rounds."""
    return Memory(**{name: middle(getattr(record, name) for record in records) for name in Memory.model_fields})


def energy(device: str, records: Sequence[Measurement], receipts: Sequence[Receipt]) -> dict[str, Any]:
    """Joules of one call, the median over rounds: warm-up and samples are the same work."""
    if device == "cpu":
        joules = [receipt.energy.joules if receipt.energy else None for receipt in receipts]
        reason = receipts[0].energy.reason if receipts[0].energy else None
    else:
        joules, reason = [record.gpu_energy_j for record in records], "the GPU does not tell its energy"
    per_call = [j / record.steady_calls for j, record in zip(joules, records, strict=True) if j is not None]
    if not per_call:
        return {"energy_reason": reason or "not measured"}
    return {"energy_j": statistics.median(per_call)}


def phases(records: Sequence[Measurement]) -> dict[str, Phase]:
    """Medians over rounds."""
    return {
        name: Phase(
            seconds=statistics.median(record.phases[name].seconds for record in records),
            peak_rss_bytes=middle(record.phases[name].peak_rss_bytes for record in records),
        )
        for name in records[0].phases
    }


def middle(values: Iterable[int | None]) -> int | None:
    """The median of what was measured, or None where nothing was."""
    known = [value for value in values if value is not None]
    return round(statistics.median(known)) if known else None
