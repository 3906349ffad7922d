"""``python -m harness.toolchain --step DIR --input NAME=DIR ...``: run one step and write ``status.json`` last."""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Context, ConversionError, Recipe
from harness.contracts.cards import Use
from harness.contracts.files import write_json
from harness.contracts.loading import load
from harness.contracts.step import StepDescription, StepStatus, thread_variables
from harness.contracts.values import dump, read
from harness.toolchain.artifacts import loaded_versions, read_artifact

KINDS = (
    "normalize",
    "prepare",
    "train",
    "compress",
    "export",
)  #: of steps; each has a module in ``steps``, loaded by its name

_LOG_TAIL_LINES = 30
_LONGEST_REASON = 1000  # characters
_EXAMPLES = """\
DIR/step.json says what to do: {"kind", "spec", "seed", "threads"}, with these kinds and specs:
  normalize {"precision", "trust"}                          inputs: artifact, base of an adapter alone
  prepare   {"task", "dataset", "split", "workload"}        inputs: model, data-NAME
  train     {"task", "call", "modality", "auto_class", "zoo"}  inputs: source-NAME, data-NAME
  compress  {"pass", "parameters", "toolchain"}, and "recipe": {"steps", "batch", "learning_rate"} of a pass that
            looks at data                                   inputs: artifact, calibration
  export    {"exporter", "toolchain"}                       inputs: artifact
Results go to DIR/out; DIR/status.json is written last. Passes and exporters are read from $MATRIX_IMAGE_DIR.

examples:
  python -m harness.toolchain --step /step --input artifact=/inputs/artifact
  python -m harness.toolchain --step /step --input model=/inputs/model --input data-train=/inputs/data-train
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the step; 0 where it succeeded, 1 where it failed, 2 where the command line is wrong."""
    options = _parser().parse_args(arguments)
    out = options.step / "out"
    out.mkdir(exist_ok=True)
    started = time.monotonic()
    try:
        step = read(StepDescription, options.step / "step.json")
        _run(step, dict(options.input), out)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
        seconds = round(time.monotonic() - started, 3)
        status = StepStatus("ok", seconds=seconds, peak_rss_bytes=peak, versions=loaded_versions())
    except Exception as failure:
        print("\n".join(traceback.format_exc().splitlines()[-_LOG_TAIL_LINES:]), file=sys.stderr, flush=True)
        status = StepStatus("convert-failed", _reason(failure), round(time.monotonic() - started, 3))
    write_json(options.step / "status.json", dump(status))
    return 0 if status.status == "ok" else 1


def progress_printer(
    write: Callable[[str], Any] = print, clock: Callable[[], float] = time.monotonic
) -> Callable[[float, str], None]:
    """A function that prints ``progress 0.42 message`` at most once a second, and always at the end."""
    last = -1.0

    def progress(fraction: float, message: str) -> None:
        nonlocal last
        now = clock()
        if last < 0 or now - last >= 1 or fraction >= 1:
            last = now
            write(f"progress {fraction:.2f} {message}")

    return progress


def _run(step: StepDescription, inputs: Mapping[str, Path], out: Path) -> None:
    _limit_threads(step.threads)
    if step.kind not in KINDS:
        raise ConversionError(f"a toolchain does not know the step {step.kind!r}; it knows {', '.join(KINDS)}")
    if step.kind != "prepare":
        _seed(step.seed, step.threads)
    load(f"harness.toolchain.steps.{step.kind}").run(step.spec, out, _context(step, inputs))


def _context(step: StepDescription, inputs: Mapping[str, Path]) -> Context:
    """How the model is used stands in its manifest; where there is no model yet, in the spec of what makes it."""
    model = inputs.get("artifact") or inputs.get("model")
    told = dump(read_artifact(model).manifest) if model else step.spec
    return Context(
        seed=step.seed,
        threads=step.threads,
        task=told["task"],
        use=Use(told["call"], told["modality"]),
        auto_class=told["auto_class"],
        recipe=Recipe(**step.spec.get("recipe", {"steps": 0, "batch": 0, "learning_rate": 0.0})),
        progress=progress_printer(lambda line: print(line, flush=True)),
        inputs=inputs,
    )


def _limit_threads(threads: int) -> None:
    """Set what libraries read when they are imported."""
    os.environ.update(thread_variables(threads))
    # Idle threads that spin make a step many times slower where others use the machine too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def _seed(seed: int, threads: int) -> None:
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    if find_spec("torch"):
        import torch

        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)


def _reason(failure: Exception) -> str:
    """One line: what an expected failure says, and the type as well where the failure is not one of ours."""
    text = " ".join(str(failure).split()) or "no message"
    text = text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
    return text if isinstance(failure, ConversionError) else f"{type(failure).__name__}: {text}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.toolchain",
        description="Run one step in a toolchain image: prepare data, train, compress or export a model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--step", type=Path, required=True, metavar="DIR", help="the step's folder, with step.json in it"
    )
    parser.add_argument(
        "--input",
        type=_input,
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=DIR",
        help="an input folder, by name",
    )
    return parser


def _input(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator or not Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"expected NAME=DIR with an existing folder, got {text!r}")
    return name, Path(path)


if __name__ == "__main__":
    sys.exit(main())
