"""``python -m harness.worker``: the entry point of every runtime image.

By hand: ``docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact``. The orchestrator uses ``--step``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.contracts.adapter import Unsupported
from harness.contracts.cards import RuntimeCard
from harness.worker.environment import cpus_allowed, versions
from harness.worker.fidelity import Comparison, Reference
from harness.worker.loop import Sampling
from harness.worker.measure import Subject, evaluate, measure

_EPILOG = """\
The artifact is a folder with weights and a manifest.json. Its inputs lie below it in data/workload (rows shaped for timing)
and data/evaluation (held-out rows with labels), as `harness artifact CELL` lays them out, or are named with --data.

examples:
  docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact
  docker run --rm --cpuset-cpus 0-1 --memory 4g -v ./artifact:/artifact:ro IMAGE /artifact --threads 2 --json > record.json
"""


def main(arguments: list[str] | None = None) -> int:
    """Run; returns the exit code: 0 measured, 1 failed (the reason is said), 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.step:
        return _run_step(options.step, dict(pair.split("=", 1) for pair in options.input))
    if not options.artifact:
        parser.error("name the folder of an artifact, such as /artifact")
    try:
        record = _by_hand(options)
    except _UserError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"worker: {_status_of(error)}: {_one_line(error)}", file=sys.stderr)
        return 1
    print(json.dumps(record, indent=1) if options.json else _summary(record))
    return 0


class _UserError(Exception):
    """A wrong folder or option, told in one line."""


def _parser() -> argparse.ArgumentParser:
    cards = _cards()
    runtimes = "\n".join(f"  {card.name}: {card.summary}; loads {', '.join(map(str, card.loads))}" for card in cards)
    parser = argparse.ArgumentParser(
        prog="worker",
        description=f"Measure one artifact. This image runs:\n{runtimes}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", nargs="?", type=Path, help="folder with manifest.json, mounted read-only")
    parser.add_argument("--data", type=Path, help="folder with workload/ and evaluation/ (default: ARTIFACT/data)")
    parser.add_argument(
        "--runtime", choices=[card.name for card in cards], help="default: the first that loads the artifact"
    )
    devices = sorted({device for card in cards for device in card.devices})
    parser.add_argument("--device", default=devices[0], choices=devices, help=f"default: {devices[0]}")
    parser.add_argument("--threads", type=int, default=cpus_allowed(), help="default: the CPUs of this container")
    parser.add_argument("--seconds", type=float, default=Sampling.max_seconds, help="time budget of the samples")
    parser.add_argument("--json", action="store_true", help="print the whole record, raw samples included")
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--input", action="append", default=[], help=argparse.SUPPRESS)
    return parser


@cache
def _adapter_module() -> Any:
    """The adapter of this image; modules beside it can be imported while it runs."""
    file = Path(os.environ["MATRIX_IMAGE_DIR"]) / "adapter.py"
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    spec = importlib.util.spec_from_file_location("matrix_adapter", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _cards() -> tuple[RuntimeCard, ...]:
    cards: tuple[RuntimeCard, ...] = _adapter_module().CARDS
    return cards


def _subject(artifact: Path, runtime: str | None, device: str, threads: int) -> Subject:
    manifest_file = artifact / "manifest.json"
    if not manifest_file.is_file():
        raise _UserError(f"{artifact} holds no manifest.json; make an artifact with `harness artifact CELL --out DIR`")
    manifest = json.loads(manifest_file.read_text("utf-8"))
    form = f"{manifest['format']}/{manifest['precision']}"
    asked = [card for card in _cards() if runtime in (None, card.name)]
    for card in asked:
        if device in card.devices and form in map(str, card.loads_on(device)):
            return Subject(card, _adapter_module().Adapter, artifact, manifest, device, threads)
    loaded = sorted({str(form) for card in asked if device in card.devices for form in card.loads_on(device)})
    names = " or ".join(card.name for card in asked)
    raise _UserError(f"{names} does not load {form} on {device}; it loads {', '.join(loaded) or 'nothing there'}")


def _by_hand(options: argparse.Namespace) -> dict[str, Any]:
    subject = _subject(options.artifact, options.runtime, options.device, options.threads)
    data = options.data or options.artifact / "data"
    if not (data / "workload").is_dir():
        raise _UserError(f"{data}/workload is missing: rows to time; `harness artifact CELL --out DIR` puts them there")
    record = {
        "runtime": subject.card.name,
        "device": subject.device,
        "threads": subject.threads,
        "artifact": {key: subject.manifest[key] for key in ("format", "precision", "task", "passes", "provenance")},
        "versions": versions(subject.card.distributions),
        **measure(
            subject,
            data / "workload",
            Sampling(min_seconds=min(Sampling.min_seconds, options.seconds), max_seconds=options.seconds),
        ),
        "quality": None,
    }
    if (data / "evaluation").is_dir():
        record["quality"] = evaluate(subject, data / "evaluation")
    return record


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
    if quality:
        ends = quality["interval"]  # none with fewer than two examples
        interval = f" [{ends[0]:.4g}, {ends[1]:.4g}]" if ends else ""
        lines.append(f"  quality  {quality['metric']} {quality['value']:.4g}{interval}, {quality['examples']} examples")
    else:
        lines.append("  quality  not measured: the artifact comes without data/evaluation")
    if record["latency"]["noisy"]:
        lines.append(f"  noisy    {record['latency']['noisy']}")
    return "\n".join(lines)


def _run_step(step: Path, inputs: Mapping[str, str]) -> int:
    """Run a step folder: ``step.json`` in, ``out/record.json`` out, ``status.json`` last."""
    start = perf_counter()
    task = json.loads((step / "step.json").read_text("utf-8"))
    spec = task["spec"]
    status: dict[str, Any] = {"status": "ok"}
    (step / "out").mkdir(exist_ok=True)
    try:
        subject = _subject(Path(inputs["artifact"]), spec["runtime"], spec["device"], task["threads"])
        data = Path(inputs["data"])
        try:
            if task["kind"] == "measure":
                record = measure(subject, data, Sampling(**spec["sampling"]), partial(print, flush=True))
            else:
                record = _evaluate(subject, data, inputs, step / "out" if spec["keep_outputs"] else None)
        except Unsupported as reason:  # a finding like any other: it is kept, and not tried again
            record = {"unsupported": _one_line(reason)}
        (step / "out" / "record.json").write_text(json.dumps(record), "utf-8")
        status["versions"] = versions(subject.card.distributions)
    except Exception as error:
        traceback.print_exc()
        status = {"status": _status_of(error), "reason": _one_line(error)}
    status["seconds"] = perf_counter() - start
    temporary = step / "status.json.tmp"
    temporary.write_text(json.dumps(status), "utf-8")
    temporary.replace(step / "status.json")
    return 0 if status["status"] == "ok" else 1


def _evaluate(subject: Subject, data: Path, inputs: Mapping[str, str], keep: Path | None) -> dict[str, Any]:
    """Evaluate, and keep the outputs in the folder ``keep`` as the reference, or compare them with the one that is given."""
    if keep is None:
        given = inputs.get("reference")
        return evaluate(subject, data, Comparison(Path(given)) if given else None)
    reference = Reference()
    record = evaluate(subject, data, reference)
    reference.save(keep)
    return record


def _status_of(error: Exception) -> str:
    """Tell out of memory from a crash, by the names that runtimes give it."""
    if isinstance(error, Unsupported):
        return "unsupported"
    text = f"{type(error).__name__} {error}".lower()
    if "cuda" in text and "out of memory" in text:
        return "oom-gpu"
    if isinstance(error, MemoryError) or "bad_alloc" in text or "failed to allocate memory" in text:
        return "oom-host"
    return "crashed"


def _one_line(error: Exception) -> str:
    """The type of an error and its message, but for a message that was written to be read."""
    text = " ".join((str(error) if isinstance(error, Unsupported) else f"{type(error).__name__}: {error}").split())
    return text if len(text) <= 300 else text[:299] + "…"


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written. Taking a large runtime down in order takes up to a second and frees what the kernel frees at once.
    os._exit(code)
