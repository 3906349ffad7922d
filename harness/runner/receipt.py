"""A finished step and its receipt: what the orchestrator itself recorded of it. Nothing that a container wrote goes in unread.

A receipt on the disk holds a hash of itself, so that one that was cut short or changed is told from one that was written.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.contracts import values
from harness.contracts.artifact import MANIFEST, Manifest
from harness.contracts.files import hash_file, hash_tree, write_json
from harness.contracts.record import RuntimeRecord
from harness.contracts.step import StepStatus
from harness.contracts.values import Damaged

VERSION = 2

OUT, STATUS, RECEIPT, RECORD, LOG = "out", "status.json", "receipt.json", "record.json", "log.txt"
MEASURED, MADE = ("measure", "evaluate"), ("train", "compress", "export")  # kinds that leave a record, an artifact


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


def write(step: Path, receipt: Receipt) -> None:
    """Write the receipt of a step into its folder; it is on the disk before this returns."""
    data = values.dump(receipt)
    write_json(step / RECEIPT, {"receipt": data, "sha256": _check(data)}, sync=True)


def read(step: Path) -> Receipt:
    """The receipt in a step's folder. Raises Damaged where it is missing, not what was written, or of another version."""
    content = values.read_object(step / RECEIPT)
    if content.get("sha256") != _check(content.get("receipt")):
        raise Damaged(f"{RECEIPT}: not what was written")
    return values.parse(Receipt, content["receipt"], RECEIPT)


@dataclass(frozen=True)
class Entry:
    """A finished step. What is read here was verified against the receipt and has its type."""

    path: Path
    receipt: Receipt

    @property
    def out(self) -> Path:
        """What the step made."""
        return self.path / OUT

    @cached_property
    def status(self) -> StepStatus:
        """What the step itself said of how it ended; of a fetch, that it did."""
        if STATUS not in self.receipt.files:
            return StepStatus("ok", seconds=self.receipt.seconds)
        return values.read(StepStatus, self.path / STATUS)

    @cached_property
    def manifest(self) -> Manifest:
        """The artifact's manifest. Raises Damaged for steps that make none."""
        return values.read(Manifest, self.out / MANIFEST)

    @cached_property
    def record(self) -> RuntimeRecord:
        """The record of a measure or evaluate step. Raises Damaged for other steps."""
        return values.read(RuntimeRecord, self.out / RECORD)

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file of the output, by its name below ``out``."""
        below = f"{OUT}/"
        return {name.removeprefix(below): found for name, found in self.receipt.files.items() if name.startswith(below)}

    def verify(self) -> None:
        """Hold what is small, and read from here, against the receipt. Raises Damaged."""
        for name in (STATUS, f"{OUT}/{RECORD}", f"{OUT}/{MANIFEST}"):
            if name in self.receipt.files and _hash(self.path / name) != self.receipt.files[name]:
                raise Damaged(f"{name} is not what the receipt says")
        _ = self.status
        if self.receipt.kind in MEASURED:
            _ = self.record
        elif self.receipt.kind in MADE or f"{OUT}/{MANIFEST}" in self.receipt.files:
            _ = self.manifest

    def verify_output(self) -> None:
        """Hold the whole output against the receipt. Raises Damaged."""
        try:
            found = hash_tree(self.out)
        except OSError as error:
            raise Damaged(f"its output cannot be read: {error.strerror}") from None
        if found != self.files:
            name = min(name for name in found.keys() | self.files.keys() if found.get(name) != self.files.get(name))
            raise Damaged(f"{OUT}/{name} is not what the receipt says")

    def verify_all(self) -> None:
        """Hold every file against the receipt. Raises Damaged."""
        self.verify_output()
        for name, wanted in self.receipt.files.items():
            if not name.startswith(f"{OUT}/") and _hash(self.path / name) != wanted:
                raise Damaged(f"{name} is not what the receipt says")


def _check(data: Any) -> str | None:
    try:
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    except RecursionError:
        return None


def _hash(file: Path) -> str | None:
    try:
        return hash_file(file)
    except OSError:
        return None
