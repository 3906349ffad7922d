"""What the harness itself costs: measured in one run, each figure as median [min, max] beside its target.

Run by hand: ``nox -s bench``. Needs a finished ``nox -s matrix``: the run with nothing to do is measured on it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness.catalog import load_catalog
from harness.matrix import spec
from harness.matrix.expand import expand

REPEATS = 7


def main() -> None:
    """Print the table."""
    receipts = [json.loads(file.read_text("utf-8")) for file in Path(".matrix/steps").glob("*/*/receipt.json")]
    rows = [
        ("harness per call, null runtime", "µs", 5.0, null_calls_us()),
        ("expanding 10,000 cells", "s", 1.0, timed(expand_ten_thousand)),
        ("a run with nothing to do", "s", 1.0, timed(run_again)),
        ("a cell beyond its measuring", "s", 1.0, beyond_measuring_s(receipts)),
    ]
    for name, unit, target, values in rows:
        if not values:
            print(f"{name:<32} not measured: run `nox -s matrix` first")
            continue
        middle = statistics.median(values)
        word = "ok" if middle < target else "MISSED"
        print(
            f"{name:<32} {middle:8.3f} {unit} [{min(values):.3f}, {max(values):.3f}], target {target:g} {unit}: {word}"
        )


def timed(action: Callable[[], object]) -> list[float]:
    """Wall seconds of a few repeats."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return seconds


def expand_ten_thousand() -> None:
    """25 models x 20 methods x 2 runtimes x 10 workloads; validation is included."""
    models = "".join(
        f"  - {{name: m{n}, source: 'zoo:digits-cnn', task: image-classification, dataset: 'zoo:digits'}}\n"
        for n in range(25)
    )
    methods = ", ".join(f"{{name: x{n}, passes: [fp16]}}" for n in range(19))
    workloads = ", ".join(f"{{batch: {n + 1}}}" for n in range(10))
    text = (
        f"models:\n{models}methods: [original, {methods}]\nruntimes: [pytorch, onnxruntime]\n"
        f"workloads: {{image-classification: [{workloads}]}}\n"
    )
    assert len(expand(spec.parse(text, "bench", load_catalog()))) == 10_000


def run_again() -> None:
    """``harness run`` on a store that holds everything."""
    command = [sys.executable, "-m", "harness.cli", "run", "--progress", "plain"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "steps to run" not in done.stderr, "run `nox -s matrix` to its end first"


def null_calls_us() -> list[float]:
    """Median microseconds per adapter call of every measured round of the null runtime."""
    found = []
    for record in _records("runtimes/null"):
        found.append(statistics.median(record["latency"]["nanoseconds"]) / 1e3 / record["calls_per_sample"])
    return found


def beyond_measuring_s(receipts: list[dict]) -> list[float]:
    """Wall seconds of measuring containers beyond import, load, first inference and the steady state."""
    found = []
    for receipt in receipts:
        if receipt["kind"] == "measure":
            record = _record(receipt["key"])
            found.append(receipt["seconds"] - sum(phase["seconds"] for phase in record["phases"].values()))
    return found


def _records(image: str) -> list[dict]:
    receipts = (json.loads(file.read_text("utf-8")) for file in Path(".matrix/steps").glob("*/*/receipt.json"))
    return [
        _record(receipt["key"]) for receipt in receipts if receipt["kind"] == "measure" and receipt["image"] == image
    ]


def _record(key: str) -> dict:
    return json.loads((Path(".matrix/steps") / key[:2] / key / "out" / "record.json").read_text("utf-8"))


if __name__ == "__main__":
    main()
