"""``python -m harness.worker``: the entry point of every runtime image.

By hand: ``docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact``. The orchestrator uses ``--step``.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from harness.contracts import values
from harness.contracts.adapter import Unsupported
from harness.contracts.files import write_json
from harness.contracts.loading import load
from harness.contracts.record import RuntimeRecord
from harness.contracts.step import StepDescription, StepStatus
from harness.worker.environment import versions
from harness.worker.subject import UserError, one_line, status_of, subject_of

KINDS = ("measure", "evaluate")  #: of steps; each has a module of this package, loaded by its name


def main(arguments: list[str] | None = None) -> int:
    """Run; returns the exit code: 0 measured, 1 failed (the reason is said), 2 wrong usage."""
    given = sys.argv[1:] if arguments is None else arguments
    if "--step" not in given:
        return int(load("harness.worker.by_hand").main(given))
    parser = argparse.ArgumentParser(prog="worker", description="Run one step.")
    parser.add_argument("--step", type=Path, required=True, metavar="DIR")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=DIR")
    options = parser.parse_args(given)
    pairs = (pair.split("=", 1) for pair in options.input)
    return _run_step(options.step, {name: Path(path) for name, path in pairs})


def _run_step(folder: Path, inputs: Mapping[str, Path]) -> int:
    """Run a step folder: ``step.json`` in, ``out/record.json`` out, ``status.json`` last."""
    start = perf_counter()
    out = folder / "out"
    out.mkdir(exist_ok=True)
    try:
        step = values.read(StepDescription, folder / "step.json")
        if step.kind not in KINDS:
            raise UserError(f"a runtime does not know the step {step.kind!r}; it knows {', '.join(KINDS)}")
        spec = step.spec
        subject = subject_of(inputs["artifact"], spec["runtime"], spec["device"], step.threads, step.machine)
        try:
            record = load(f"harness.worker.{step.kind}").run(subject, inputs, spec, out)
        except Unsupported as reason:  # a finding like any other: it is kept, and not tried again
            record = RuntimeRecord(unsupported=one_line(reason))
        write_json(out / "record.json", values.dump(record))
        used = versions(subject.card.distributions)
        status = StepStatus("ok", seconds=perf_counter() - start, versions=used)
    except Exception as error:
        traceback.print_exc()
        status = StepStatus(status_of(error), one_line(error), perf_counter() - start)
    write_json(folder / "status.json", values.dump(status))
    return 0 if status.status == "ok" else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written. Taking a large runtime down in order takes up to a second and frees what the kernel frees at once.
    os._exit(code)
