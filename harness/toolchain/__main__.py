"""``python -m harness.toolchain --step DIR --input NAME=DIR ...``: run one step and write ``status.json`` last."""

from __future__ import annotations

import argparse
import json
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

from harness.contracts.artifact import Context, ConversionError
from harness.contracts.threads import thread_variables

_LOG_TAIL_LINES = 30
_EXAMPLES = """\
DIR/step.json says what to do: {"kind", "spec", "seed", "threads"}, with these kinds and specs:
  prepare   {"task", "dataset", "split", "workload"}     inputs: model, data-NAME
  train     {"task", "zoo"}                              inputs: source-NAME, data-NAME
  compress  {"task", "pass", "parameters", "toolchain"}  inputs: artifact
  export    {"task", "exporter", "toolchain"}            inputs: artifact
Results go to DIR/out; DIR/status.json is written last. Passes and exporters are read from $MATRIX_IMAGE_DIR.

examples:
  python -m harness.toolchain --step /step --input artifact=/inputs/artifact
  python -m harness.toolchain --step /step --input model=/inputs/model --input data-train=/inputs/data-train
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the step; 0 where it succeeded, 1 where it failed, 2 where the command line is wrong."""
    options = _parser().parse_args(arguments)
    step = json.loads((options.step / "step.json").read_text("utf-8"))
    out = options.step / "out"
    out.mkdir(exist_ok=True)
    started = time.monotonic()
    try:
        versions = _run(step, dict(options.input), out)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
        seconds = round(time.monotonic() - started, 3)
        status = {"status": "ok", "seconds": seconds, "peak_rss_bytes": peak, "versions": versions}
    except Exception as failure:
        tail = traceback.format_exc().splitlines()[-_LOG_TAIL_LINES:]
        print("\n".join(tail), file=sys.stderr, flush=True)
        status = {"status": "convert-failed", "reason": _reason(failure), "log_tail": "\n".join(tail)}
    _write_atomically(options.step / "status.json", status)
    return 0 if status["status"] == "ok" else 1


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


def _run(step: Mapping[str, Any], inputs: Mapping[str, Path], out: Path) -> dict[str, str]:
    kind, spec = step["kind"], step["spec"]
    _limit_threads(step["threads"])
    from harness.toolchain.artifacts import loaded_versions
    from harness.toolchain.steps import KINDS

    if kind not in KINDS:
        raise ConversionError(f"a toolchain does not know the step {kind!r}; it knows {', '.join(KINDS)}")
    if kind != "prepare":
        _seed(step["seed"], step["threads"])
    progress = progress_printer(lambda line: print(line, flush=True))
    KINDS[kind](spec, out, Context(step["seed"], step["threads"], spec["task"], progress, inputs))
    return loaded_versions()


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
    return text if isinstance(failure, ConversionError) else f"{type(failure).__name__}: {text}"


def _write_atomically(file: Path, content: Mapping[str, Any]) -> None:
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False), "utf-8")
    temporary.replace(file)


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
