"""A matrix, its plan, an engine and a store, opened together: what the commands work on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from harness import datasets, sources, terminal
from harness.catalog import Catalog, plugins
from harness.contracts.machine import Machine
from harness.engines import registry
from harness.engines.contract import Engine, devices_of
from harness.errors import EnvironmentProblem, UsageError
from harness.matrix import load, source, spec
from harness.matrix.expand import MatrixCell, expand
from harness.matrix.plan import Plan
from harness.matrix.planner import Planner
from harness.runner import progress
from harness.runner.interrupt import Interrupts
from harness.runner.search import Choice
from harness.runner.selection import selection
from harness.runner.stages import Run, sites_of
from harness.runner.store import Store
from harness.sources import look


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
    wanted: Callable[[MatrixCell], bool]
    choices: dict[str, Choice] = field(default_factory=dict)  # by cell, of what was searched for

    @cached_property
    def plan(self) -> Plan:
        """The plan of the picked cells."""
        return self.plan_of(self.matrix, self.wanted)

    def plan_of(self, matrix: spec.Matrix, wanted: Callable[[MatrixCell], bool]) -> Plan:
        """The plan of a matrix in this workspace."""
        planner = Planner(
            matrix,
            self.catalog,
            self.engine.isolation,
            sites_of(self.engine),
            self._fingerprint,
            self._contents,
            self._formats,
            {
                cell: choice.record.reason if choice.passes is None else choice.passes
                for cell, choice in self.choices.items()
            },
        )
        return planner.plan(wanted)

    @cached_property
    def here(self) -> Machine:
        """The machine that collects: of an engine with several, its first."""
        return self.engine.places()[0].machine

    @cached_property
    def devices(self) -> dict[str, str | None]:
        """Device name -> None where it can be used, or why not."""
        return devices_of(self.engine.places())

    @cached_property
    def _fingerprint(self) -> Callable[[source.Source], str]:
        """A large folder is hashed once, not once a cell."""
        base = self.matrix_file.resolve().parent
        most = self.matrix.limits.source
        return cache(lambda parsed: sources.fingerprint(parsed, base, most, terminal.say))

    def _contents(self, model: spec.Model) -> source.Contents:
        return look.contents(model, self.matrix_file.resolve().parent, self.matrix.limits.source)

    def _formats(self, parsed: source.Source) -> Sequence[str]:
        """The formats of a data set's files; of a source that is no path: not known before it is fetched."""
        if not isinstance(parsed, source.PathSource):
            return ()
        return datasets.formats_in(sources.existing(parsed, self.matrix_file.resolve().parent))

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
    for path in (matrix_file, work, out):
        _require_utf8(path.absolute())
    catalog = plugins.load(images)
    matrix = load.load(matrix_file, catalog, look.mistakes)
    chosen, reason = registry.choose(engine, work, options_of(machine))
    terminal.say(reason)
    least = min((place.machine for place in chosen.places()), key=lambda machine: machine.cpu_count)
    if least.cpu_count < matrix.limits.cpus:
        problem = f"{matrix_file}: limits.cpus is {matrix.limits.cpus}, but {least.name} has {least.cpu_count}"
        raise EnvironmentProblem(problem, f"set limits: {{cpus: {least.cpu_count}}}")
    picked = selection(expand(matrix), only, skip, cells, out if failed else None)
    return Workspace(matrix_file, matrix, catalog, chosen, reason, Store(work), out, picked)


def _require_utf8(path: Path) -> None:
    """Raise UsageError for a path that no receipt, result or report could name."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{str(path)!a}: its name is not UTF-8", "rename the folder, or work elsewhere") from None


def options_of(machine: str | None) -> dict[str, str]:
    """What an engine is opened with: the name that the user gives this machine."""
    return {"machine": machine} if machine else {}
