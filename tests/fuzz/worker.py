"""One process that feeds a target: ``python -m tests.fuzz.worker TARGET``. Time and memory of each input are bounded.

Inputs are drawn by hypothesis, or with ``--guided`` by atheris, which keeps what reaches new code of ``harness``. Progress
goes to standard output as lines of JSON. A process that hangs in C code is ended by faulthandler; ``__main__.py`` counts it.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.target import Target, targets

SECONDS = 5.0  # for one input
MEMORY_MB = 512  # that one input may take above what the process has
BATCH = 500  # inputs of one hypothesis run, whose memory grows with their number
LAST = "last-input"  # the file with the input under way, for a process that ends in it


class Hang(BaseException):
    """The input has had its time. No ``except Exception`` of what is tested may swallow it."""


@dataclass
class Tally:
    """What became of the inputs. Findings are told once for each place where they happen."""

    inputs: int = 0
    refused: int = 0
    tracebacks: int = 0
    hangs: int = 0
    peak_mb: int = 0  # of the process, above its beginning
    findings: dict[str, str] = field(default_factory=dict)  # by place: the trace
    examples: dict[str, bytes] = field(default_factory=dict)

    def found(self, error: BaseException, data: bytes) -> None:
        """Count a finding, and keep its first input."""
        if isinstance(error, Hang):
            self.hangs += 1
        else:
            self.tracebacks += 1
        place = f"{type(error).__name__} at {_place(error)}"
        self.findings.setdefault(place, "".join(traceback.format_exception(error))[-4000:])
        self.examples.setdefault(place, data)


def _place(error: BaseException) -> str:
    """The innermost line of the harness that the error came through; of this suite, where it came through none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/harness/" in frame.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "nowhere"


def try_one(target: Target, data: bytes, scratch: Path, tally: Tally, seconds: float = SECONDS) -> None:
    """Feed one input and count what becomes of it."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    tally.inputs += 1
    try:
        with _within(seconds):
            target.read(data, folder)
    except target.refusals:
        tally.refused += 1
    except (Exception, Hang) as error:
        tally.found(error, data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    def too_long(number: int, frame: Any) -> None:
        raise Hang(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(target: Target, inputs: int, number: int, feed: Callable[[bytes], None]) -> None:
    """Feed as many inputs as hypothesis draws from the seed ``number``."""

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def one(data: bytes) -> None:
        feed(data)

    one()


# --- the process ---------------------------------------------------------------------------------------------------------


class _Worker:
    """Feeds and tells. What was told is subtracted by nobody: each line holds all since the beginning."""

    def __init__(self, target: Target, scratch: Path, inputs: int) -> None:
        self.target, self.scratch, self.inputs, self.tally = target, scratch, inputs, Tally()
        self._begun_mb = _peak_mb()

    def feed(self, data: bytes) -> None:
        (self.scratch / LAST).write_bytes(data)
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True)
        try:
            try_one(self.target, data, self.scratch, self.tally)
        finally:
            faulthandler.cancel_dump_traceback_later()
        if self.tally.inputs % 100 == 0 or self.tally.inputs >= self.inputs:  # atheris ends the process at once
            self.tell()

    def tell(self) -> None:
        self.tally.peak_mb = _peak_mb() - self._begun_mb
        told = asdict(self.tally) | {"examples": {name: data.hex() for name, data in self.tally.examples.items()}}
        print(json.dumps(told), flush=True)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY_MB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _guided(worker: _Worker, inputs: int, number: int) -> None:
    import atheris

    corpus = worker.scratch / "corpus"
    corpus.mkdir()
    for index, good in enumerate(worker.target.seeds):
        (corpus / str(index)).write_bytes(good)
    largest = 2 * max(map(len, worker.target.seeds))
    options = [f"-runs={inputs}", f"-seed={number + 1}", f"-max_len={largest}", "-verbosity=0", "-timeout=0"]
    atheris.Setup(["fuzz", *options, str(corpus)], worker.feed)
    atheris.Fuzz()  # ends the process


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--scratch", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Feed one target."""
    chosen = _arguments()
    if chosen.guided:
        import atheris

        with atheris.instrument_imports(include=["harness"]):
            found = targets()
    else:
        found = targets()
    worker = _Worker(found[chosen.target], chosen.scratch, chosen.inputs)
    for good in worker.target.seeds:  # what is read for the first time is imported and cached before memory is limited
        worker.target.read(good, Path(tempfile.mkdtemp(dir=chosen.scratch)))
    _limit_memory()
    if chosen.guided:
        _guided(worker, chosen.inputs, chosen.seed)
    for batch, left in enumerate(range(chosen.inputs, 0, -BATCH)):
        fuzz(worker.target, min(BATCH, left), chosen.seed + batch, worker.feed)
    worker.tell()


if __name__ == "__main__":
    sys.exit(main())
