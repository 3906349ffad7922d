"""By hand: ``docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact``. No step depends on this module."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts import values
from harness.contracts.loading import load
from harness.worker.environment import cpus_allowed, versions
from harness.worker.loop import Sampling
from harness.worker.subject import UserError, cards, one_line, status_of, subject_of

_EPILOG = """\
The artifact is a folder with weights and a manifest.json. Its inputs lie below it in data/workload (rows shaped for timing)
and data/evaluation (held-out rows with labels), as `harness artifact CELL` lays them out, or are named with --data.

examples:
  docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact
  docker run --rm --cpuset-cpus 0-1 --memory 4g -v ./artifact:/artifact:ro IMAGE /artifact --threads 2 --json > record.json
"""


def main(arguments: list[str]) -> int:
    """Measure an artifact and print the numbers; returns the exit code, as ``harness.worker`` does."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.artifact:
        parser.error("name the folder of an artifact, such as /artifact")
    try:
        record = _by_hand(options)
    except UserError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"worker: {status_of(error)}: {one_line(error)}", file=sys.stderr)
        return 1
    print(json.dumps(record, indent=1) if options.json else _summary(record))
    return 0


def _parser() -> argparse.ArgumentParser:
    runtimes = "\n".join(f"  {card.name}: {card.summary}; loads {', '.join(map(str, card.loads))}" for card in cards())
    parser = argparse.ArgumentParser(
        prog="worker",
        description=f"Measure one artifact. This image runs:\n{runtimes}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", nargs="?", type=Path, help="folder with manifest.json, mounted read-only")
    parser.add_argument("--data", type=Path, help="folder with workload/ and evaluation/ (default: ARTIFACT/data)")
    parser.add_argument(
        "--runtime", choices=[card.name for card in cards()], help="default: the first that loads the artifact"
    )
    devices = sorted({device for card in cards() for device in card.devices})
    parser.add_argument("--device", default=devices[0], choices=devices, help=f"default: {devices[0]}")
    parser.add_argument("--threads", type=int, default=cpus_allowed(), help="default: the CPUs of this container")
    parser.add_argument("--seconds", type=float, default=Sampling.max_seconds, help="time budget of the samples")
    parser.add_argument("--json", action="store_true", help="print the whole record, raw samples included")
    return parser


def _by_hand(options: argparse.Namespace) -> dict[str, Any]:
    subject = subject_of(options.artifact, options.runtime, options.device, options.threads)
    data = options.data or options.artifact / "data"
    if not (data / "workload").is_dir():
        raise UserError(f"{data}/workload is missing: rows to time; `harness artifact CELL --out DIR` puts them there")
    shortest = min(Sampling.min_seconds, options.seconds)
    sampling = Sampling(min_seconds=shortest, max_seconds=options.seconds)
    measured = load("harness.worker.measure").measure(subject, data / "workload", sampling)
    quality = None
    if (data / "evaluation").is_dir():
        quality = values.dump(load("harness.worker.evaluate").evaluate(subject, data / "evaluation"))
    told = ("format", "precision", "task", "passes", "provenance")
    return {
        "runtime": subject.card.name,
        "device": subject.device,
        "threads": subject.threads,
        "artifact": {key: value for key, value in values.dump(subject.manifest).items() if key in told},
        "versions": versions(subject.card.distributions),
        **values.dump(measured),
        "quality": quality,
    }


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
