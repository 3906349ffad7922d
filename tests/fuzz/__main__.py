"""``python -m tests.fuzz``, or ``nox -s fuzz``: all targets side by side, and a table of what became of their inputs.

Inputs that raise, hang or take too much memory are kept with their traces below ``.fuzz/``; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.fuzz.target import Target, targets
from tests.fuzz.worker import LAST, MEMORY_MB, SECONDS

KEPT = Path(".fuzz")
MEMORY = Path("/dev/shm")  # where scratch folders lie if there is one: inputs are written and read many times
RESTARTS = 20  # of a target whose processes keep dying


@dataclass
class Outcome:
    """What became of one target's inputs."""

    target: str
    inputs: int = 0
    refused: int = 0
    tracebacks: int = 0
    hangs: int = 0
    peak_mb: int = 0
    places: set[str] = field(default_factory=set)  # where findings happened

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.tracebacks and not self.hangs

    def add(self, told: dict[str, Any]) -> None:
        """Take what a process told last, and keep its findings."""
        for name in ("inputs", "refused", "tracebacks", "hangs"):
            setattr(self, name, getattr(self, name) + told[name])
        self.peak_mb = max(self.peak_mb, told["peak_mb"])
        for place, trace in told["findings"].items():
            self.keep(place, trace, bytes.fromhex(told["examples"][place]))

    def keep(self, place: str, trace: str, data: bytes) -> None:
        """Keep an input that must not do what it does."""
        self.places.add(place)
        folder = KEPT / self.target
        folder.mkdir(parents=True, exist_ok=True)
        stem = "".join(c if c.isalnum() else "-" for c in place)
        (folder / f"{stem}.input").write_bytes(data)
        (folder / f"{stem}.txt").write_text(f"{place}\n\n{trace}", "utf-8")


def feed(target: Target, inputs: int, seed: int, guided: bool, outcome: Outcome) -> None:
    """Feed a target in processes of its own until it has had all its inputs."""
    done = 0
    for attempt in range(RESTARTS):
        if done >= inputs:
            return
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as scratch:
            words = [
                target.name,
                "--inputs",
                str(inputs - done),
                "--seed",
                str(seed + 1000 * attempt),
                "--scratch",
                scratch,
            ]
            command = [sys.executable, "-m", "tests.fuzz.worker", *words, *(["--guided"] if guided else [])]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            lines, errors = process.communicate()
            told = _last(lines)
            outcome.add(told)
            done += max(1, told["inputs"])
            if process.returncode:
                last = Path(scratch, LAST)
                outcome.hangs += "Timeout (" in errors
                outcome.tracebacks += "Timeout (" not in errors
                outcome.keep(f"process-{seed}-{attempt}", errors[-4000:], last.read_bytes() if last.exists() else b"")


def _last(lines: str) -> dict[str, Any]:
    told = [line for line in lines.splitlines() if line.startswith("{")]
    nothing = dict.fromkeys(("inputs", "refused", "tracebacks", "hangs", "peak_mb"), 0) | {
        "findings": {},
        "examples": {},
    }
    return dict(json.loads(told[-1])) if told else nothing


def shares(chosen: list[Target], inputs: int) -> Iterator[tuple[Target, int]]:
    """Each target with its part of the inputs."""
    whole = sum(target.weight for target in chosen)
    for target in chosen:
        yield target, max(1, round(inputs * target.weight / whole))


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as a table in Markdown."""
    lines = [
        "| target | inputs | refused | tracebacks | hangs | peak memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    total = Outcome("all")
    for each in outcomes:
        for name in ("inputs", "refused", "tracebacks", "hangs"):
            setattr(total, name, getattr(total, name) + getattr(each, name))
        total.peak_mb = max(total.peak_mb, each.peak_mb)
    for each in (*outcomes, total):
        counts = f"{each.inputs:,} | {each.refused:,} | {each.tracebacks:,} | {each.hangs:,} | +{each.peak_mb:,} MB"
        lines.append(f"| {each.target} | {counts} |")
    return "\n".join(lines)


def _arguments(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(names)}; by default all")
    most = int(os.environ.get("MATRIX_FUZZ_INPUTS", "100000"))
    parser.add_argument("--inputs", type=int, default=most, help="of all targets together (MATRIX_FUZZ_INPUTS)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side")
    found = parser.parse_args()
    if unknown := set(found.targets) - set(names):
        parser.error(f"no target is called {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    return found


def main() -> int:
    """Run what the command line asks for."""
    known = targets()
    asked = _arguments(list(known))
    chosen = [known[name] for name in asked.targets or known]
    guided = find_spec("atheris") is not None
    outcomes = {target.name: Outcome(target.name) for target in chosen}
    with ThreadPoolExecutor(asked.jobs) as pool:
        jobs = []
        for target, inputs in shares(chosen, asked.inputs):
            halves = {True: inputs // 2, False: inputs - inputs // 2} if guided else {False: inputs}
            for way, count in halves.items():
                jobs.append(pool.submit(feed, target, count, asked.seed, way, outcomes[target.name]))
        for job in jobs:
            job.result()
    how = (
        "half of them drawn by hypothesis, half guided by atheris"
        if guided
        else "drawn by hypothesis (no atheris here)"
    )
    print(f"\n{table(list(outcomes.values()))}\n\nInputs: {how}. Each had {SECONDS:g} s and {MEMORY_MB} MB.")
    for each in outcomes.values():
        for place in sorted(each.places):
            print(f"{each.target}: {place}: see {KEPT / each.target}")
    return 0 if all(each.clean for each in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
