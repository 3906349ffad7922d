"""The receipt of a step: what the orchestrator itself recorded of it. Nothing that a container wrote goes in unread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 2


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
        """Refuse another version."""
        if self.version != VERSION:
            raise ValueError(f"version: expected {VERSION}, got {self.version}")
