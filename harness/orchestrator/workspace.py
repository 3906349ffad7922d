"""A matrix, its plan, an engine and a store, opened together: what the commands work on."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from harness.catalog import Catalog, load_catalog
from harness.errors import EnvironmentProblem, Exit, UsageError
from harness.matrix import load, spec
from harness.matrix.document import did_you_mean
from harness.matrix.expand import Cell, expand, workload_name
from harness.matrix.plan import Plan, Planner
from harness.orchestrator import engines, estimate, machine, progress, sources
from harness.orchestrator.collect import Collector
from harness.orchestrator.engines import Engine
from harness.orchestrator.interrupt import Interrupted, Interrupts
from harness.orchestrator.run import Run
from harness.orchestrator.store import Store
from harness.results import Results


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

    @cached_property
    def plan(self) -> Plan:
        """The plan of the picked cells."""
        base = self.matrix_file.resolve().parent
        devices = self.engine.devices()
        planner = Planner(
            self.matrix,
            self.catalog,
            self.engine.name,
            devices,
            cache(lambda parsed: sources.fingerprint(parsed, base)),  # a large folder is hashed once, not once a cell
            "" if devices["cuda"] else "; ".join(machine.gpus()),
        )
        return planner.plan(self.wanted)

    def run_over(self, display: progress.Progress) -> Run:
        """A run that has not begun."""
        interrupts = Interrupts(display.say, self.engine.kill)
        base = self.matrix_file.resolve().parent
        return Run(self.plan, self.catalog, self.engine, self.store, display, base, interrupts)


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
) -> Workspace:
    """Read the matrix, choose the engine (the first line of output says which and why) and pick the cells.

    Raises MatrixError, UsageError for a wrong selection, EnvironmentProblem where the engine cannot be used.
    """
    catalog = load_catalog()
    matrix = load.load(matrix_file, catalog)
    chosen, reason = engines.choose(engine, work)
    print(reason, file=sys.stderr, flush=True)
    if (allowed := os.cpu_count() or 1) < matrix.limits.cpus:
        problem = f"{matrix_file}: limits.cpus is {matrix.limits.cpus}, but this machine has {allowed}"
        raise EnvironmentProblem(problem, f"set limits: {{cpus: {allowed}}}")
    picked = _selection(expand(matrix), only, skip, cells, out if failed else None)
    return Workspace(matrix_file, matrix, catalog, chosen, reason, Store(work), out, picked)


def run(workspace: Workspace, display: progress.Kind) -> Exit:
    """Run what is missing and write the report."""
    from harness import report

    shown = progress.make(display)
    lock = workspace.store.lock()
    pass_ = workspace.run_over(shown)
    try:
        with pass_.interrupts:
            for line in _skipped(workspace.plan):
                shown.say(line)
            _require_space(workspace, pass_)
            pass_.execute()
    except Interrupted:
        shown.say("stopped; all finished steps are kept: run the same command again to go on")
        return Exit.INTERRUPTED
    finally:
        lock.release()
    results = _collect(workspace, pass_)
    before = read_results(workspace.out / "results.json")
    if not pass_.ran and before is not None and _same(before, results) and (workspace.out / "index.html").exists():
        shown.say(
            f"nothing to do: all {len(workspace.plan.wanted)} cells are measured, {workspace.out / 'index.html'} is up to date"
        )
    else:
        report.render(results, workspace.out)
        if not pass_.ran:
            shown.say("nothing to measure: the report is drawn again")
        shown.say(_summary(results, workspace.out))
    return Exit.CELLS_FAILED if any(cell.status.failed for cell in results.cells) else Exit.OK


def _skipped(plan: Plan) -> list[str]:
    """One line for every reason for which picked cells are skipped."""
    counts = Counter((planned.cell.device, planned.reason) for planned in plan.wanted if planned.status == "skipped")
    return [f"{count} cells on {device} are skipped: {reason}" for (device, reason), count in counts.items()]


def _collect(workspace: Workspace, pass_: Run) -> Results:
    collector = Collector(
        workspace.plan,
        workspace.catalog,
        workspace.engine,
        workspace.engine_reason,
        workspace.store,
        pass_.failures,
    )
    return collector.results(workspace.matrix_file.read_text("utf-8"))


def _same(before: Results, after: Results) -> bool:
    return before.model_copy(update={"created_at": after.created_at}) == after


def read_results(file: Path) -> Results | None:
    """Results of an earlier run, or None where there are none of this schema."""
    try:
        return Results.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None


def _summary(results: Results, out: Path) -> str:
    counts: dict[str, int] = {}
    for cell in results.cells:
        counts[cell.status] = counts.get(cell.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(results.cells)} cells: {told}\nreport: {out / 'index.html'} and {out / 'README.md'}"


def _require_space(workspace: Workspace, pass_: Run) -> None:
    missing = pass_.missing()
    images = [workspace.catalog.images[name] for name in workspace.plan.images(step.key for step in missing)]
    wanted = estimate.disk_mb(missing) + sum(image.disk_mb for image in images if workspace.engine.missing(image))
    free = shutil.disk_usage(workspace.store.root).free // 10**6
    if wanted > free:
        problem = f"the run needs about {wanted:,} MB, but the disk of {workspace.store.root} has {free:,} MB free"
        raise EnvironmentProblem(problem, "free some space (`harness clean`), or put the store elsewhere with --work")


# --- which cells -------------------------------------------------------------------------------------------------------


def _selection(
    all_cells: Sequence[Cell], only: Sequence[str], skip: Sequence[str], ids: Sequence[str], failed_in: Path | None
) -> Callable[[Cell], bool]:
    wanted, unwanted = _axes(only, all_cells), _axes(skip, all_cells)
    known = [cell.id for cell in all_cells]
    for name in ids:
        if name not in known:
            raise UsageError(f"there is no cell {name!r}", did_you_mean(name, known))
    failures = _failed(failed_in) if failed_in else None

    def picked(cell: Cell) -> bool:
        return (
            all(_value(cell, axis) in values for axis, values in wanted.items())
            and not any(_value(cell, axis) in values for axis, values in unwanted.items())
            and (not ids or cell.id in ids)
            and (failures is None or cell.id in failures)
        )

    if not any(picked(cell) for cell in all_cells):
        raise UsageError("the selection leaves no cell", "see all with `harness plan`")
    return picked


def _value(cell: Cell, axis: str) -> str:
    return workload_name(cell.workload) if axis == "workload" else str(getattr(cell, axis))


def _axes(terms: Sequence[str], cells: Sequence[Cell]) -> Mapping[str, set[str]]:
    """``axis=a,b`` terms as sets of values; raises UsageError for an unknown axis or value, naming the nearest."""
    picked: dict[str, set[str]] = {}
    for term in (part for text in terms for part in text.split()):
        axis, separator, values = term.partition("=")
        if not separator or axis not in spec.AXES:
            raise UsageError(
                f"{term!r} does not pick cells", f"write AXIS=VALUE,VALUE with one of: {', '.join(spec.AXES)}"
            )
        known = sorted({_value(cell, axis) for cell in cells})
        for value in values.split(","):
            if value not in known:
                raise UsageError(f"no cell has the {axis} {value!r}", did_you_mean(value, known))
            picked.setdefault(axis, set()).add(value)
    return picked


def _failed(out: Path) -> set[str]:
    results = read_results(out / "results.json")
    if results is None:
        raise UsageError(f"{out / 'results.json'} does not exist: nothing has failed yet", "run without --failed")
    return {cell.id for cell in results.cells if cell.status.failed}


# --- other commands ------------------------------------------------------------------------------------------------------


def lay_out(workspace: Workspace, folder: Path) -> None:
    """Copy what one cell measures into ``folder``: the artifact, and data/workload and data/evaluation below it."""
    (planned,) = workspace.plan.wanted
    if planned.status or planned.artifact is None or planned.evaluation is None:
        raise UsageError(
            f"{planned.cell.id} is {planned.status}: {planned.reason}", "pick another cell: `harness plan`"
        )
    parts = {
        folder: planned.artifact,
        folder / "data" / "workload": workspace.plan.steps[planned.rounds[0]].inputs["data"],
        folder / "data" / "evaluation": workspace.plan.steps[planned.evaluation].inputs["data"],
    }
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "name another folder with --out")
    for target, key in parts.items():
        output = workspace.store.output(key)
        if output is None:
            title = workspace.plan.steps[key].title
            raise UsageError(f"not made yet: {title}", f"run `harness run --cell {planned.cell.id}` first")
        shutil.copytree(output, target, dirs_exist_ok=True)


def build_images(names: Sequence[str], work: Path, engine: str) -> None:
    """Build images or environments; all of them where none is named."""
    catalog = load_catalog()
    for name in names:
        if name not in catalog.images:
            raise UsageError(f"there is no image {name!r}", did_you_mean(name, sorted(catalog.images)))
    chosen, reason = engines.choose(engine, work)
    print(reason, file=sys.stderr, flush=True)
    for name in names or sorted(catalog.images):
        built = chosen.ensure(catalog.images[name], _say)
        print(f"{name}: {built.reference}", file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
