"""One artifact measured by hand, outside a run: timed, scored where there is held-out data, and told in a few lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts import values
from harness.worker.environment import versions
from harness.worker.evaluate import evaluate
from harness.worker.loop import Sampling
from harness.worker.measure import measure
from harness.worker.subject import Subject


def measured(subject: Subject, data: Path, seconds: float, *, as_json: bool) -> str:
    """What to print of a subject: a summary, or the whole record with its samples.

    ``data`` holds ``workload`` and, where quality is wanted, ``evaluation``; sampling takes ``seconds`` at most.
    """
    sampling = Sampling(min_seconds=min(Sampling.min_seconds, seconds), max_seconds=seconds)
    timed = values.dump(measure(subject, data / "workload", sampling))
    held_out = data / "evaluation"
    record = {
        "runtime": subject.card.name,
        "device": subject.device,
        "threads": subject.threads,
        "artifact": {key: subject.manifest[key] for key in ("format", "precision", "task", "passes", "provenance")},
        "versions": versions(subject.card.distributions),
        **timed,
        "quality": values.dump(evaluate(subject, held_out)) if held_out.is_dir() else None,
    }
    return json.dumps(record, indent=1) if as_json else _summary(record)


def _summary(record: Mapping[str, Any]) -> str:
    times = sorted(ns / 1e6 for ns in record["latency"]["nanoseconds"])
    middle, tail = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]
    memory, quality = record["memory"], record["quality"]
    form = f"{record['artifact']['format']}/{record['artifact']['precision']}"
    lines = [
        f"{record['runtime']} on {record['device']}, {record['threads']} threads, {form}, computes in {record['arithmetic']}",
        f"  latency  {middle:.3f} ms median, {tail:.3f} ms p99, {len(times)} calls, ended by {record['latency']['ended_by']}",
        f"  weights  {record['weights_bytes'] / 1e6:.2f} MB",
        f"  RAM      {memory['peak_rss_bytes'] / 1e6:.1f} MB peak, of which {memory['floor_bytes'] / 1e6:.1f} MB runtime",
    ]
    if record["vram"]["peak_bytes"] is not None:
        lines.append(f"  VRAM     {record['vram']['peak_bytes'] / 1e6:.1f} MB peak")
    for metric in quality["metrics"] if quality else ():
        ends = metric["interval"]  # none with fewer than two examples
        interval = f" [{ends[0]:.4g}, {ends[1]:.4g}]" if ends else ""
        lines.append(f"  quality  {metric['name']} {metric['value']:.4g}{interval}, {len(quality['tallies'])} examples")
    if not quality:
        lines.append("  quality  not measured: the artifact comes without data/evaluation")
    if record["latency"]["noisy"]:
        lines.append(f"  noisy    {record['latency']['noisy']}")
    return "\n".join(lines)
