"""The self-test: what the harness finds, held against what is known, on this machine and through this engine.

Speed: the same work twice must come out a tie, and 5 % more work slower, judged as every report is: rounds in fresh
containers, interleaved and shuffled, more of them where they were noisy or differ much, Welch's t on the logs of their medians.
Memory: a program that holds, spikes, maps and reserves known amounts. Overhead: the ``null`` runtime.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness import stats
from harness.catalog import PACKAGE, Catalog, Runtime, hash_files
from harness.contracts import prepared, values
from harness.contracts.artifact import MANIFEST, Manifest
from harness.contracts.files import write_atomically, write_json
from harness.contracts.record import Measurement, RuntimeRecord
from harness.contracts.step import MachineName, StepDescription, StepStatus
from harness.contracts.task import ModelFacts
from harness.engines import takeover
from harness.engines.bounds import Bounds
from harness.engines.contract import Built, Engine, Job, Limits, Place
from harness.engines.transfer import PlainShelf
from harness.errors import EnvironmentProblem
from harness.matrix.keys import runtime_code
from harness.results import Check, SelfTest
from harness.runner import rounds
from harness.runner.store import LOG, OUT, RECORD, STATUS, Store

FILE, UNFINISHED = "selftest.json", "selftest-unfinished.json"

#: So many extra ones outlast most spells in which a neighbour is busy.
ROUNDS, EXTRA_ROUNDS = 5, 195
FIRST_ROUNDS = 10  # to know the machine's quiet pace by, as the first rounds of a matrix do
#: Half width of a cell's interval at which its extra rounds end. That of a difference is 1.4 times as wide and must lie, with
#: room for chance, within the smallest effect.
SPREAD = 0.325 * stats.SMALLEST_EFFECT
SLOWDOWN = 0.05
FALSE_LIMIT, TIE_LIMIT, FOUND_LIMIT = 0.05, 0.95, 0.80  # shares of all repeats

_PRODUCTS = 400  # about 2 ms a call
_BYTES = 256 * 2**20
_MEMORY_LIMIT = 0.03  # of the amount: allocators round, and page tables are not counted
_OVERHEAD_LIMIT_US = 20.0
_SAMPLING = {"min_samples": 30, "min_seconds": 0.05, "max_seconds": 0.1, "precision": 0.01}
_LIMITS = Limits(cpus=1, memory_bytes=2 * 2**30, timeout_s=120.0)  # all that is measured here works in one thread
#: How the artifacts are used; they are for nothing.
_USE: ModelFacts = {"task": "none", "call": "forward", "modality": "image", "auto_class": "none"}


@dataclass
class _Bench:
    """Measures artifacts of the runtimes ``known`` and ``null``, one container a round."""

    engine: Engine
    store: Store
    folder: Path
    place: Place
    runtimes: Mapping[str, Runtime]
    built: Mapping[str, Built]
    count: int = 0
    _artifacts: dict[str, Path] = field(default_factory=dict)

    def artifact(self, name: str, products: int, memory: str = "none") -> str:
        """Lay out an artifact; returns its name."""
        place = self.folder / name
        place.mkdir(parents=True)
        size = _BYTES if memory == "mapped" else 1
        (place / "weights.bin").write_bytes(b"\1" * size)
        (place / "config.json").write_text('{"id2label": {"0": "a", "1": "b"}}', "utf-8")
        extra = {"products": products, "memory": memory, "bytes": _BYTES}
        format_ = "hf" if name == "null" else "known"
        manifest = Manifest(format_, "fp32", **_USE, weights=["weights.bin"], extra=extra)
        write_json(place / MANIFEST, values.dump(manifest))
        self._artifacts[name] = place
        return name

    def measure(self, name: str) -> Measurement:
        """The record of one round. Raises EnvironmentProblem where the container fails."""
        self.count += 1
        runtime = "null" if name == "null" else "known"
        spec = {"runtime": runtime, "device": "cpu", "sampling": _SAMPLING}
        what = StepDescription(
            "measure", spec, 0, _LIMITS.cpus, MachineName(self.place.machine.id, self.place.machine.name)
        )
        key = f"selftest-{self.count}"
        folder, left = self.store.begin(key, values.dump(what)), self.store.scratch(key)
        job = Job(
            key=key,
            built=self.built[runtime],
            code=runtime_code("measure", self.runtimes[runtime].module, self.runtimes[runtime].image, None),
            description=what,
            inputs={"artifact": name, "data": "data"},
            shelf=PlainShelf({**self._artifacts, "data": self.folder / "data"}),
            left=left,
            log=folder / LOG,
            limits=_LIMITS,
            place=self.place,
            bounds=Bounds(),
        )
        try:
            self.engine.run(job, lambda line: None)
            takeover.take_file(left, STATUS, folder / STATUS, job.bounds.status_bytes)
            takeover.take_tree(left, OUT, folder / OUT, job.bounds)
        finally:
            takeover.remove(left.parent)
        try:
            status = values.read(StepStatus, folder / STATUS)
            found = values.read(RuntimeRecord, folder / OUT / RECORD).measurement if status.status == "ok" else None
            reason = status.reason or "it left no measurement"
        except values.Damaged as damage:
            found, reason = None, str(damage)
        if found is None:
            raise EnvironmentProblem(f"the self-test's own container failed: {reason}", f"its log: {job.log}")
        shutil.rmtree(folder)
        return found


@dataclass
class _Progress:
    """What the repeats so far came to, in a file: a self-test that was stopped goes on where it was."""

    file: Path
    of: Mapping[str, Any]  # what must be the same for it to go on
    repeats: list[Mapping[str, Any]] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)  # the pace of every round, nanoseconds

    @classmethod
    def resume(cls, file: Path, of: Mapping[str, Any]) -> _Progress:
        """From the file, or from the beginning where there is none, or of something else."""
        try:
            found = json.loads(file.read_bytes())
        except (OSError, ValueError):
            found = {}
        return cls(**found | {"file": file}) if found.get("of") == of else cls(file, of)

    def see(self, record: Measurement) -> None:
        """Take note of a round's pace."""
        self.seen.append(rounds.pace(record))

    def add(self, repeat: Mapping[str, Any]) -> None:
        """Keep what a repeat came to."""
        self.repeats.append(repeat)
        write_json(self.file, {"of": self.of, "repeats": self.repeats, "seen": self.seen})


def run(
    catalog: Catalog, engine: Engine, store: Store, repeats: int, seed: int, say: Callable[[str], None]
) -> SelfTest:
    """Measure all; ``say`` is told how far it is. The result is also kept in the store, for the reports of this machine."""
    folder, place = store.root / "selftest", engine.places()[0]
    host = place.machine.id
    engine.reap()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    pixels = np.zeros((8, 1, 1, 1, 1), np.float32)
    prepared.save(folder / "data", {}, {"pixel_values": pixels})
    runtimes = {name: catalog.runtimes[name] for name in ("known", "null")}
    built = {name: engine.ensure(runtime.image, place, say) for name, runtime in runtimes.items()}
    bench = _Bench(engine, store, folder, place, runtimes, built)
    code = runtime_code("measure", runtimes["known"].module, runtimes["known"].image, None)
    identity = runtimes["known"].image.environment_hash + code.hash
    rules = hash_files([PACKAGE / name for name in ("runner/selftest.py", "runner/rounds.py", "stats.py")], PACKAGE)
    of = {"host": host, "engine": engine.name, "seed": seed, "code": identity, "rules": rules}
    progress = _Progress.resume(store.root / UNFINISHED, of)
    try:
        checks = [*_speed(bench, repeats, progress, say), *_memory(bench, say), _overhead(bench, say)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    made = SelfTest(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"), host=host, engine=engine.name, checks=checks
    )
    write_atomically(store.root / FILE, made.model_dump_json(indent=1))
    progress.file.unlink(missing_ok=True)
    return made


def last(store: Store, host: str, engine: str) -> SelfTest | None:
    """The last self-test of this machine through this engine, or None."""
    try:
        found = SelfTest.model_validate_json((store.root / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return found if (found.host, found.engine) == (host, engine) else None


def _speed(bench: _Bench, repeats: int, progress: _Progress, say: Callable[[str], None]) -> Iterable[Check]:
    names = [bench.artifact(name, _PRODUCTS) for name in ("work", "same")]
    names.append(bench.artifact("slower", round((1 + SLOWDOWN) * _PRODUCTS)))
    if done := len(progress.repeats):
        say(f"speed: goes on after {done} repeats of an earlier test that was stopped")
    else:
        say("speed: the machine's pace")
        for _ in range(FIRST_ROUNDS):
            progress.see(bench.measure(names[0]))
    for number in range(done, repeats):
        medians, taken = _repeat(bench, names, random.Random(f"{progress.of['seed']} {number}"), progress)
        same = stats.verdict(stats.compare(medians["same"], medians["work"]))
        slower = stats.verdict(stats.compare(medians["slower"], medians["work"]))
        progress.add({"same": same, "slower": slower, "rounds": taken})
        told = f"the same: {same}, {SLOWDOWN:.0%} more: {slower}"
        say(f"speed: repeat {number + 1} of {repeats}: {told}, by {max(taken)} rounds at most")
    yield from _speed_checks(progress.repeats[:repeats])


def _speed_checks(repeats: Sequence[Mapping[str, Any]]) -> Iterable[Check]:
    of, taken = len(repeats), [number for each in repeats for number in each["rounds"]]
    false = sum(each["same"] in (stats.Verdict.FASTER, stats.Verdict.SLOWER) for each in repeats)
    ties = sum(each["same"] == stats.Verdict.TIE for each in repeats)
    found = sum(each["slower"] == stats.Verdict.SLOWER for each in repeats)
    yield Check(
        name="the same work twice: called different",
        wanted=f"at most {FALSE_LIMIT:.0%}",
        found=f"{false} of {of}",
        passed=false <= FALSE_LIMIT * of,
    )
    yield Check(
        name="the same work twice: called a tie",
        wanted=f"at least {TIE_LIMIT:.0%}",
        found=f"{ties} of {of}, by {statistics.median(taken):.0f} rounds each (at most {max(taken)})",
        passed=ties >= TIE_LIMIT * of,
    )
    yield Check(
        name=f"{SLOWDOWN:.0%} more work: called slower",
        wanted=f"at least {FOUND_LIMIT:.0%}",
        found=f"{found} of {of}",
        passed=found >= FOUND_LIMIT * of,
    )


def _repeat(
    bench: _Bench, names: Iterable[str], draw: random.Random, progress: _Progress
) -> tuple[dict[str, list[float]], list[int]]:
    """The round medians that count of each artifact, measured as the cells of one matrix, and how many rounds each took."""
    records: dict[str, list[Measurement]] = {name: [] for name in names}
    for number in range(ROUNDS + EXTRA_ROUNDS):
        judge = rounds.Judge(rounds.quiet_pace(progress.seen))
        order = [name for name in records if number < ROUNDS or judge.unsure(records[name], ROUNDS, _spread(name))]
        draw.shuffle(order)
        for name in order:
            records[name].append(bench.measure(name))
            progress.see(records[name][-1])
    judge = rounds.Judge(rounds.quiet_pace(progress.seen))
    paced = all(judge.enough(found, ROUNDS) for found in records.values())
    medians = {name: judge.medians(found, ROUNDS, paced) for name, found in records.items()}
    return medians, [len(found) for found in records.values()]


def _spread(name: str) -> float:
    """A cell is known well enough for its own question: 5 % more work is told sooner than a tie."""
    return SLOWDOWN / 3 if name == "slower" else SPREAD


def _memory(bench: _Bench, say: Callable[[str], None]) -> Iterable[Check]:
    say("memory")
    record = bench.measure(bench.artifact("empty", 1))
    plain = record.memory.peak_rss_bytes
    for memory, wanted in (("held", _BYTES), ("spike", _BYTES), ("mapped", _BYTES), ("reserved", 0)):
        record = bench.measure(bench.artifact(memory, 1, memory))
        found = record.memory.peak_rss_bytes - plain
        yield Check(
            name=f"{_BYTES >> 20} MiB {_WAYS[memory]}: peak above the program's own",
            wanted=f"{wanted / 2**20:.0f} MiB ± {_MEMORY_LIMIT * _BYTES / 2**20:.0f}",
            found=f"{found / 2**20:.1f} MiB",
            passed=abs(found - wanted) <= _MEMORY_LIMIT * _BYTES,
        )


_WAYS = {
    "held": "allocated and held",
    "spike": "held for a millisecond",
    "mapped": "of a file, mapped and read",
    "reserved": "reserved and never touched",
}


def _overhead(bench: _Bench, say: Callable[[str], None]) -> Check:
    say("overhead")
    bench.artifact("null", 1)
    records = [bench.measure("null") for _ in range(ROUNDS)]
    judge = rounds.Judge(rounds.quiet_pace(map(rounds.pace, records)))
    microseconds = statistics.median(judge.medians(records, ROUNDS, paced=True)) / 1e3
    return Check(
        name="the harness's own cost of a call",
        wanted=f"at most {_OVERHEAD_LIMIT_US:.0f} µs",
        found=f"{microseconds:.2f} µs",
        passed=microseconds <= _OVERHEAD_LIMIT_US,
    )


def text(made: SelfTest) -> str:
    """The table for a terminal."""
    rows = [("", "check", "wanted", "found")]
    rows += [("ok" if check.passed else "FAILED", check.name, check.wanted, check.found) for check in made.checks]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
