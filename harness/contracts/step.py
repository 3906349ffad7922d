"""A step as it crosses into a container and back: ``step.json`` goes in, ``status.json`` comes out last.

Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 1  #: of both files; a reader refuses another

#: What a step may say of its own end. ``ok`` needs an output; all others need a reason.
OUTCOMES = ("ok", "unsupported", "convert-failed", "oom-host", "oom-gpu", "crashed")

#: Lines that the worker prints while it measures. Engines read energy counters between them.
STEADY_BEGINS, STEADY_ENDS = "steady state begins", "steady state ends"

#: What libraries read when they are imported: OpenMP, Intel's and OpenBLAS's matrix products, Rust's Rayon (tokenizers).
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def thread_variables(threads: int) -> dict[str, str]:
    """The environment variables that limit a process to so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


@dataclass(frozen=True)
class MachineName:
    """The machine a step is for: what a container can't find out by itself."""

    id: str
    name: str


@dataclass(frozen=True)
class StepDescription:
    """The content of ``step.json``: what is to be done. Inputs are named on the command line."""

    kind: str  # prepare, train, compress, export, measure, evaluate
    spec: Mapping[str, Any]
    seed: int
    threads: int
    machine: MachineName | None = None  # of steps that are measurements
    version: int = VERSION


@dataclass(frozen=True)
class StepStatus:
    """The content of ``status.json``: how the step says it ended."""

    status: str  # one of OUTCOMES
    reason: str | None = None  # one line for the reader of the report; None where the status is ``ok``
    seconds: float = 0.0
    peak_rss_bytes: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)  # of the packages that were used
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse a status that is none, and a failure without its reason."""
        if self.status not in OUTCOMES:
            raise ValueError(f"status: expected one of {', '.join(OUTCOMES)}, got {self.status[:60]!r}")
        if self.status != "ok" and not self.reason:
            raise ValueError(f"reason: {self.status} needs one")
        if not 0 <= self.seconds < math.inf or (self.peak_rss_bytes or 0) < 0:
            raise ValueError("seconds, peak_rss_bytes: expected finite numbers from 0")
