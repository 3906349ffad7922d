"""``python -m harness.worker``: the entry point of every runtime image.

By hand: ``docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact``. The orchestrator uses ``--step``.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.contracts import machine, values
from harness.contracts.adapter import Unsupported
from harness.contracts.artifact import Manifest
from harness.contracts.cards import RuntimeCard
from harness.contracts.files import write_json
from harness.contracts.loading import load, load_file
from harness.contracts.record import RuntimeRecord
from harness.contracts.step import MachineName, StepDescription, StepStatus
from harness.worker.environment import cpus_allowed, versions
from harness.worker.subject import Subject

KINDS = ("measure", "evaluate")  #: of steps; each has a module of this package, loaded by its name

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
        pairs = (pair.split("=", 1) for pair in options.input)
        return _run_step(options.step, {name: Path(path) for name, path in pairs})
    if not options.artifact:
        parser.error("name the folder of an artifact, such as /artifact")
    try:
        subject = _subject(options.artifact, options.runtime, options.device, options.threads)
        data = options.data or options.artifact / "data"
        if not (data / "workload").is_dir():
            cure = "`harness artifact CELL --out DIR` puts them there"
            raise _UserError(f"{data}/workload is missing: rows to time; {cure}")
        shown = load("harness.worker.hand").measured(subject, data, options.seconds, as_json=options.json)
    except _UserError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"worker: {_status_of(error)}: {_one_line(error)}", file=sys.stderr)
        return 1
    print(shown)
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
    parser.add_argument("--seconds", type=float, default=10.0, help="time budget of the samples, default: 10")
    parser.add_argument("--json", action="store_true", help="print the whole record, raw samples included")
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--input", action="append", default=[], help=argparse.SUPPRESS)
    return parser


@cache
def _adapter_module() -> Any:
    """The adapter of this image; modules beside it can be imported while it runs."""
    folder = Path(os.environ["MATRIX_IMAGE_DIR"])
    return load_file(folder / "adapter.py", "matrix_adapter", siblings=folder)


def _cards() -> tuple[RuntimeCard, ...]:
    cards: tuple[RuntimeCard, ...] = _adapter_module().CARDS
    return cards


def _subject(
    artifact: Path, runtime: str | None, device: str, threads: int, name: MachineName | None = None
) -> Subject:
    manifest_file = artifact / "manifest.json"
    if not manifest_file.is_file():
        raise _UserError(f"{artifact} holds no manifest.json; make an artifact with `harness artifact CELL --out DIR`")
    try:
        described = values.read(Manifest, manifest_file)
    except values.Damaged as damage:
        raise _UserError(f"{artifact}: {damage}: make the artifact again, with this version") from None
    manifest, form = values.dump(described), str(described.form)
    asked = [card for card in _cards() if runtime in (None, card.name)]
    for card in asked:
        if device in card.devices and form in map(str, card.loads_on(device)):
            here = machine.describe(name.name, name.id) if name else machine.describe()
            return Subject(card, _adapter_module().Adapter, artifact, manifest, device, threads, here)
    loaded = sorted({str(form) for card in asked if device in card.devices for form in card.loads_on(device)})
    names = " or ".join(card.name for card in asked)
    raise _UserError(f"{names} does not load {form} on {device}; it loads {', '.join(loaded) or 'nothing there'}")


def _run_step(folder: Path, inputs: Mapping[str, Path]) -> int:
    """Run a step folder: ``step.json`` in, ``out/record.json`` out, ``status.json`` last."""
    start = perf_counter()
    out = folder / "out"
    out.mkdir(exist_ok=True)
    try:
        step = values.read(StepDescription, folder / "step.json")
        if step.kind not in KINDS:
            raise _UserError(f"a runtime does not know the step {step.kind!r}; it knows {', '.join(KINDS)}")
        spec = step.spec
        subject = _subject(inputs["artifact"], spec["runtime"], spec["device"], step.threads, step.machine)
        try:
            record = load(f"harness.worker.{step.kind}").run(subject, inputs, spec, out)
        except Unsupported as reason:  # a finding like any other: it is kept, and not tried again
            record = RuntimeRecord(unsupported=_one_line(reason))
        write_json(out / "record.json", values.dump(record))
        used = versions(subject.card.distributions)
        status = StepStatus("ok", seconds=perf_counter() - start, versions=used)
    except Exception as error:
        traceback.print_exc()
        status = StepStatus(_status_of(error), _one_line(error), perf_counter() - start)
    write_json(folder / "status.json", values.dump(status))
    return 0 if status.status == "ok" else 1


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
    """The type of an error and its message; the message alone where it was written to be read."""
    told = isinstance(error, (Unsupported, _UserError))
    text = " ".join((str(error) if told else f"{type(error).__name__}: {error}").split())
    return text if len(text) <= 300 else text[:299] + "…"


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written. Taking a large runtime down in order takes up to a second and frees what the kernel frees at once.
    os._exit(code)
