"""The runs of a site, as git's history of its results holds them, and every cell's numbers from run to run."""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.report.history import revisions
from harness.report.history.compare import RunComparison, compare
from harness.results import Cell, Results, parse, read
from harness.untrusted_text import date, moment

#: Runs of a site, the newest included.
NEWEST = 20


@dataclass(frozen=True)
class PastRun:
    """One run, when it ended, and the commit that published it; None where no commit holds it."""

    results: Results
    when: datetime  # UTC
    revision: str | None

    @classmethod
    def of(cls, results: Results, revision: str | None = None) -> PastRun | None:
        """A run of these results; None where they are of no known time."""
        when = moment(results.created_at)
        return cls(results, when, revision) if when else None

    @property
    def identity(self) -> uuid.UUID:
        """The same wherever and however often the run is published: a version 5 UUID of its time and machines."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"compression-matrix run {self.when.isoformat()} {self.host}")

    @property
    def anchor(self) -> str:
        """The run's id in the page."""
        return f"r-{self.identity.hex[:12]}"

    @property
    def date(self) -> str:
        """When it ended, for people."""
        return date(self.results.created_at)

    @property
    def host(self) -> str:
        """The ids of its machines in one text."""
        return ",".join(sorted(self.results.machines))

    @cached_property
    def repeated(self) -> frozenset[str]:
        """The ids of cells that it has from several machines."""
        counts = Counter(cell.id for cell in self.results.cells)
        return frozenset(id for id, count in counts.items() if count > 1)


@dataclass(frozen=True)
class History:
    """At least one run, newest first."""

    runs: tuple[PastRun, ...]
    unreadable: int = 0  # commits whose results cannot be read
    committed: bool = False  # whether git holds any version of the results
    shallow: bool = False  # whether git holds its newest commits only

    @property
    def newest(self) -> PastRun:
        """The run that the site's report shows."""
        return self.runs[0]

    @cached_property
    def comparisons(self) -> tuple[RunComparison | None, ...]:
        """Of each run with the one before it; None of the oldest, which has none before it."""
        pairs = zip(self.runs, self.runs[1:], strict=False)
        return (*(compare(before.results, after.results) for after, before in pairs), None)

    @cached_property
    def lines(self) -> dict[str, tuple[Cell | None, ...]]:
        """Every cell of any run, as each run knows it, newest first; None where a run lacks it.

        Cells of the newest run come first. The key is the cell's id; where a run has an id from several machines, each of
        them is a line of its own: ``id on machine``.
        """
        repeated = frozenset[str]().union(*(run.repeated for run in self.runs))
        by_run = [{_line_of(cell, repeated): cell for cell in run.results.cells} for run in self.runs]
        names = dict.fromkeys(name for cells in by_run for name in cells)
        return {name: tuple(cells.get(name) for cells in by_run) for name in names}


def _line_of(cell: Cell, repeated: frozenset[str]) -> str:
    return f"{cell.id} on {cell.machine}" if cell.machine and cell.id in repeated else cell.id


def collect(file: Path, newest: int = NEWEST) -> History:
    """The run in a results file and the earlier ones that git holds of it, at most ``newest`` together.

    A run that several commits hold (drawn again, say) counts once, as of the first of them. Outside a checkout the history
    is the run of the file alone. Raises UsageError where the file itself holds no results that can be read.
    """
    results = read(file)
    current = PastRun.of(results) if results else None
    if current is None:
        raise UsageError(
            f"{file} holds no results of a known time" if results else f"{file} does not exist", "run the matrix first"
        )
    runs, unreadable = {current.identity: current}, 0
    commits = revisions.of_file(file)
    for revision in commits:
        content = revisions.content(revision, f"./{file.name}", file.parent)
        if content is None:  # the commit removed it
            continue
        run = _run(content, revision)
        if run is None:
            unreadable += 1
        elif run.identity in runs:
            runs[run.identity] = replace(runs[run.identity], revision=revision)
        elif len(runs) == newest:
            break
        else:
            runs[run.identity] = run
    return History(tuple(runs.values()), unreadable, bool(commits), revisions.shallow(file.parent))


def _run(content: bytes, revision: str | None) -> PastRun | None:
    try:
        return PastRun.of(parse(content), revision)
    except UsageError:
        return None


def as_json(history: History) -> str:
    """The runs, newest first, and for each cell its numbers in the same order; null where a run has none."""
    data = {
        "schema_version": "2.0",
        "runs": [_facts(run) for run in history.runs],
        "cells": {name: _series(cells) for name, cells in history.lines.items()},
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False) + "\n"


def _facts(run: PastRun) -> dict[str, Any]:
    environment = run.results.environment
    return {
        "created_at": run.results.created_at,
        "revision": run.revision,
        "source_revision": environment.source_revision,
        "machines": [{"id": each.id, "name": each.name, "cpu": each.cpu} for each in run.results.machines.values()],
        "statuses": Counter(cell.status.value for cell in run.results.cells),
    }


def _series(cells: Sequence[Cell | None]) -> dict[str, Any]:
    """One cell in each run. Qualities are those of its newest metric: numbers of different metrics make no series."""
    metric = next((cell.quality.metric for cell in cells if cell and cell.quality), None)

    def each(value: Callable[[Cell], Any]) -> list[Any]:
        return [None if cell is None else _finite(value(cell)) for cell in cells]

    return {
        "status": each(lambda cell: cell.status.value),
        "latency_p50_ms": each(lambda cell: cell.latency_ms and cell.latency_ms.p50),
        "machine": each(lambda cell: cell.machine),
        "latency_interval_ms": each(lambda cell: cell.latency_ms and cell.latency_ms.interval),
        "weights_bytes": each(lambda cell: cell.weights_bytes),
        "ram_bytes": each(lambda cell: cell.ram_bytes),
        "metric": metric,
        "quality": each(lambda cell: cell.quality.value if cell.quality and cell.quality.metric == metric else None),
    }


def _finite(value: Any) -> Any:
    """What JSON can hold: null for a number, or for an interval, that is not finite."""
    parts = value if isinstance(value, tuple) else (value,)
    return None if any(isinstance(part, float) and not math.isfinite(part) for part in parts) else value
