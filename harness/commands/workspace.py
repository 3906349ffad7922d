"""A matrix, its plan, an engine and a store, opened together: what the commands work on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from harness import engines, sources
from harness.catalog import Catalog, plugins
from harness.contracts import machine
from harness.engines import Engine
from harness.errors import EnvironmentProblem
from harness.matrix import load, source, spec
from harness.matrix.expand import Cell, expand
from harness.matrix.plan import Plan, Planner
from harness.runner import progress
from harness.runner.interrupt import Interrupts
from harness.runner.search import Choice
from harness.runner.selection import selection
from harness.runner.stages import Run
from harness.runner.store import Store


@dataclass
class Workspace:
    """All that a command needs of a matrix."""

    matrix_file: Path
    matrix: spec.Matrix
    catalog: Catalog
    engine: Engine
    engine_reason: str
    store: Store
    out: Path
    wanted: Callable[[Cell], bool]
    machine: str | None = None  # the name that the user gives this machine
    choices: dict[str, Choice] = field(default_factory=dict)  # by cell, of what was searched for

    @cached_property
    def plan(self) -> Plan:
        """The plan of the picked cells."""
        return self.plan_of(self.matrix, self.wanted)

    def plan_of(self, matrix: spec.Matrix, wanted: Callable[[Cell], bool]) -> Plan:
        """The plan of a matrix in this workspace."""
        devices = self.devices
        planner = Planner(
            matrix,
            self.catalog,
            self.engine.name,
            devices,
            self._fingerprint,
            "" if devices["cuda"] else "; ".join(machine.gpus()),
            {
                cell: choice.record.reason if choice.passes is None else choice.passes
                for cell, choice in self.choices.items()
            },
        )
        return planner.plan(wanted)

    @cached_property
    def devices(self) -> dict[str, str | None]:
        """Device name -> None where it can be used, or why not."""
        return self.engine.devices()

    @cached_property
    def _fingerprint(self) -> Callable[[source.Source], str]:
        """A large folder is hashed once, not once a cell."""
        base = self.matrix_file.resolve().parent
        return cache(lambda parsed: sources.fingerprint(parsed, base))

    def run_over(self, plan: Plan, display: progress.Progress, interrupts: Interrupts) -> Run:
        """A run that has not begun."""
        base = self.matrix_file.resolve().parent
        return Run(plan, self.catalog, self.engine, self.store, display, base, interrupts)


def open_(
    *,
    matrix_file: Path,
    work: Path,
    engine: str,
    out: Path,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    cells: Sequence[str] = (),
    failed: bool = False,
    images: Sequence[Path] = (),
    machine: str | None = None,
) -> Workspace:
    """Read the matrix, choose the engine (the first line of output says which and why) and pick the cells.

    ``images`` are more folders of images; ``machine`` names this machine in the results. Raises MatrixError, UsageError for a
    wrong selection, EnvironmentProblem where the engine cannot be used.
    """
    catalog = plugins.load(images)
    matrix = load.load(matrix_file, catalog)
    chosen, reason = engines.choose(engine, work)
    say(reason)
    if (allowed := os.cpu_count() or 1) < matrix.limits.cpus:
        problem = f"{matrix_file}: limits.cpus is {matrix.limits.cpus}, but this machine has {allowed}"
        raise EnvironmentProblem(problem, f"set limits: {{cpus: {allowed}}}")
    picked = selection(expand(matrix), only, skip, cells, out if failed else None)
    return Workspace(matrix_file, matrix, catalog, chosen, reason, Store(work), out, picked, machine)


def say(line: str) -> None:
    """Tell the user something, on standard error: standard output is for data."""
    print(line, file=sys.stderr, flush=True)
