"""A finished step and its receipt: what the orchestrator itself recorded of it. Nothing that a container wrote goes in unread.

A receipt on the disk holds a hash of itself, so that one that was cut short or changed is told from one that was written.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from harness.contracts import values
from harness.contracts.artifact import MANIFEST, Manifest
from harness.contracts.files import hash_file, hash_tree, size_tree, write_json
from harness.contracts.record import Measurement, RuntimeRecord
from harness.contracts.step import StepStatus
from harness.contracts.values import Damaged

T = TypeVar("T")

VERSION = 3

OUT, STATUS, RECEIPT, RECORD, LOG = "out", "status.json", "receipt.json", "record.json", "log.txt"
MEASURED, MADE = (
    ("measure", "evaluate"),
    ("normalize", "train", "compress", "export"),
)  # kinds that leave a record, an artifact


@dataclass(frozen=True)
class Energy:
    """Joules of the processor packages in a measurement's steady state, or why they are not known."""

    joules: float | None
    reason: str | None


@dataclass(frozen=True)
class Receipt:
    """The content of ``receipt.json``, written last: a step without it has not run."""

    key: str
    kind: str
    title: str
    seconds: float
    files: Mapping[str, str] = field(
        default_factory=dict
    )  # SHA-256 of every file that is read later, by its relative name
    sizes: Mapping[str, int] = field(default_factory=dict)  # their bytes: a file of another size need not be read
    image: str | None = None  # None: made by the orchestrator
    engine: str | None = None
    place: str | None = None  # of the engine
    machine: str | None = None  # id of the place's machine
    command: str | None = None  # repeats the step
    by_hand: str | None = None  # measures the artifact in the runtime, without the orchestrator
    reference: str | None = None  # what a person types for the image or the environment
    digest: str | None = None
    environment_hash: str | None = None
    code_hash: str | None = None
    exit_code: int | None = None
    energy: Energy | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)  # of a fetch: where the files came from
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse another version, and a duration that is none."""
        if self.version != VERSION:
            raise ValueError(f"version: expected {VERSION}, got {self.version}")
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"seconds: expected a duration, got {self.seconds}")


def write_receipt(step: Path, receipt: Receipt) -> None:
    """Write the receipt of a step into its folder; it is on the disk before this returns."""
    data = values.dump(receipt)
    write_json(step / RECEIPT, {"receipt": data, "sha256": _check(data)}, sync=True)


def read_receipt(step: Path) -> Receipt:
    """The receipt in a step's folder. Raises Damaged where it is missing, not what was written, or of another version."""
    content = values.read_object(step / RECEIPT)
    if content.get("sha256") != _check(content.get("receipt")):
        raise Damaged(f"{RECEIPT}: not what was written")
    return values.parse(Receipt, content["receipt"], RECEIPT)


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """What is kept in memory of every round: all that decides whether it counts and whether it was enough."""

    median_ns: float
    pace_ns: tuple[float, ...]  # as in the record
    noisy: str | None
    seconds: float  # from the import of the runtime to the last sample

    @classmethod
    def of(cls, record: Measurement) -> RoundFacts:
        """Those of a whole record, which holds every sample."""
        latency = record.latency
        seconds = math.fsum(phase.seconds for phase in record.phases.values())
        return cls(statistics.median(latency.nanoseconds), tuple(latency.pace_ns), latency.noisy, seconds)


@lru_cache(maxsize=64)  # a row is made of few, and those of all rows do not fit into memory
def _record(file: Path, sha256: str | None) -> RuntimeRecord:
    if sha256 and hash_file(file) != sha256:
        raise Damaged(f"{file.name} is not what the receipt says")
    return values.read(RuntimeRecord, file)


@dataclass(frozen=True)
class Entry:
    """A finished step. What is read here was verified against the receipt and has its type.

    Of the thousands of a large run little stays in memory: what is large is read where it is asked for.
    """

    path: Path
    receipt: Receipt

    @property
    def out(self) -> Path:
        """What the step made."""
        return self.path / OUT

    @property
    def status(self) -> StepStatus:
        """What the step itself said of how it ended; of a fetch, that it did."""
        if STATUS not in self.receipt.files:
            return StepStatus("ok", seconds=self.receipt.seconds)
        return values.read(StepStatus, self.path / STATUS)

    @property
    def manifest(self) -> Manifest:
        """The artifact's manifest. Raises Damaged for steps that make none."""
        return values.read(Manifest, self.out / MANIFEST)

    @property
    def record(self) -> RuntimeRecord:
        """The record of a measure or evaluate step. Raises Damaged for other steps."""
        return _record(self.out / RECORD, self.receipt.files.get(f"{OUT}/{RECORD}"))

    @cached_property
    def round(self) -> RoundFacts | None:
        """Of a measure step, unless the runtime refused the model. Raises Damaged for steps without a record."""
        measurement = self.record.measurement
        return RoundFacts.of(measurement) if measurement else None

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file of the output, by its name below ``out``."""
        return _below_out(self.receipt.files)

    def verify(self) -> None:
        """Hold what is small, and read from here, against the receipt. Raises Damaged."""
        for name in (STATUS, f"{OUT}/{RECORD}", f"{OUT}/{MANIFEST}"):
            if name in self.receipt.files:
                self._verify_file(name)
        _ = self.status
        if self.receipt.kind in MEASURED:
            self._verify_machine()
        elif self.receipt.kind in MADE or f"{OUT}/{MANIFEST}" in self.receipt.files:
            _ = self.manifest

    def _verify_machine(self) -> None:
        """A container cannot say of another machine what was measured here."""
        found = self.record.measurement
        if found and self.receipt.machine and found.machine.id != self.receipt.machine:
            raise Damaged(f"{RECORD}: machine: id: expected {self.receipt.machine}, got {found.machine.id[:60]!r}")
        _ = self.round

    def verify_all(self) -> None:
        """Hold every file against the receipt. Raises Damaged."""
        for name in self.receipt.files:
            if not name.startswith(f"{OUT}/"):
                self._verify_file(name)
        try:
            _require_same(size_tree(self.out), _below_out(self.receipt.sizes))
            _require_same(hash_tree(self.out), self.files)
        except OSError as error:
            raise Damaged(f"its output cannot be read: {error.strerror}") from None

    def _verify_file(self, name: str) -> None:
        try:
            same = (self.path / name).lstat().st_size == self.receipt.sizes.get(name)
            same = same and hash_file(self.path / name) == self.receipt.files[name]
        except OSError as error:
            raise Damaged(f"{name} cannot be read: {error.strerror}") from None
        if not same:
            raise Damaged(f"{name} is not what the receipt says")


def _check(data: Any) -> str | None:
    try:
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    except RecursionError:
        return None


def _below_out(by_name: Mapping[str, T]) -> dict[str, T]:
    below = f"{OUT}/"
    return {name.removeprefix(below): found for name, found in by_name.items() if name.startswith(below)}


def _require_same(found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    if differing := [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]:
        raise Damaged(f"{OUT}/{differing[0]} is not what the receipt says")
