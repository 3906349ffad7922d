"""A matrix, its plan, an engine and a store, opened together: what the commands work on."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from harness import results, sources
from harness.catalog import Catalog, load_catalog
from harness.collect.rows import Collector
from harness.engines import registry
from harness.engines.contract import Engine, devices_of, missing_somewhere
from harness.errors import EnvironmentProblem, Exit, UsageError, did_you_mean
from harness.matrix import load, source, spec
from harness.matrix.expand import Cell, expand
from harness.matrix.plan import Plan
from harness.matrix.planner import Planner
from harness.run import estimate, progress, selftest
from harness.run.interrupt import Interrupted, Interrupts
from harness.run.search import Choice, Passes, describe, search
from harness.run.selection import selection
from harness.run.stages import Run, missing_steps, sites_of
from harness.run.steps import hand_closure
from harness.run.store import Store


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
    choices: dict[str, Choice] = field(default_factory=dict)  # by cell, of what was searched for

    @cached_property
    def plan(self) -> Plan:
        """The plan of the picked cells."""
        return self.plan_of(self.matrix, self.wanted)

    def plan_of(self, matrix: spec.Matrix, wanted: Callable[[Cell], bool]) -> Plan:
        """The plan of a matrix in this workspace."""
        planner = Planner(
            matrix,
            self.catalog,
            self.engine.isolation,
            sites_of(self.engine),
            self._fingerprint,
            lambda parsed: (),
            {
                cell: choice.record.reason if choice.passes is None else choice.passes
                for cell, choice in self.choices.items()
            },
        )
        return planner.plan(wanted)

    @cached_property
    def devices(self) -> dict[str, str | None]:
        """Device name -> None where it can be used, or why not."""
        return devices_of(self.engine.places())

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
) -> Workspace:
    """Read the matrix, choose the engine (the first line of output says which and why) and pick the cells.

    Raises MatrixError, UsageError for a wrong selection, EnvironmentProblem where the engine cannot be used.
    """
    catalog = load_catalog()
    matrix = load.load(matrix_file, catalog)
    chosen, reason = registry.choose(engine, work)
    print(reason, file=sys.stderr, flush=True)
    if (allowed := os.cpu_count() or 1) < matrix.limits.cpus:
        problem = f"{matrix_file}: limits.cpus is {matrix.limits.cpus}, but this machine has {allowed}"
        raise EnvironmentProblem(problem, f"set limits: {{cpus: {allowed}}}")
    picked = selection(expand(matrix), only, skip, cells, out if failed else None)
    return Workspace(matrix_file, matrix, catalog, chosen, reason, Store(work), out, picked)


def run(workspace: Workspace, display: progress.Kind) -> Exit:
    """Run what is missing and write the report."""
    from harness import report

    shown = progress.make(display)
    lock = workspace.store.lock()
    interrupts = Interrupts(shown.say, workspace.engine.kill)
    try:
        with interrupts:
            _search(workspace, shown, interrupts)
            pass_ = workspace.run_over(workspace.plan, shown, interrupts)
            for line in _skipped(workspace.plan):
                shown.say(line)
            _require_space(workspace, pass_)
            pass_.execute()
    except Interrupted:
        shown.say("stopped; all finished steps are kept: run the same command again to go on")
        return Exit.INTERRUPTED
    finally:
        lock.release()
    made = _collect(workspace, pass_)
    before = results.read(workspace.out / "results.json")
    if not pass_.ran and before is not None and before.cells == made.cells:  # the same run, drawn again
        made = made.model_copy(update={"created_at": before.created_at})
    if not pass_.ran and before is not None and before == made and (workspace.out / "index.html").exists():
        shown.say(
            f"nothing to do: all {len(workspace.plan.wanted)} cells are measured, {workspace.out / 'index.html'} is up to date"
        )
    else:
        report.render(made, workspace.out)
        if not pass_.ran:
            shown.say("nothing to measure: the report is drawn again")
        shown.say(_summary(made, workspace.out))
    return Exit.CELLS_FAILED if any(cell.status.failed for cell in made.cells) else Exit.OK


def _search(workspace: Workspace, shown: progress.Progress, interrupts: Interrupts) -> None:
    """Choose the passes of every picked cell whose method is automatic."""
    methods = {method.name: method.search for method in workspace.matrix.methods}
    for cell in filter(workspace.wanted, expand(workspace.matrix)):
        space = methods[cell.method]
        if space is None or workspace.devices[cell.device]:
            continue

        def measure(passes: Passes, cell: Cell = cell) -> results.Cell:
            shown.say(f"{cell.id}: trying {describe(passes)}")
            return _try(workspace, cell, passes, shown, interrupts)

        choice = search(space, workspace.matrix.measure.seed, measure)
        workspace.choices[cell.id] = choice
        shown.say(f"{cell.id}: {choice.record.reason}")


def _try(
    workspace: Workspace, cell: Cell, passes: Passes, shown: progress.Progress, interrupts: Interrupts
) -> results.Cell:
    """Measure a combination in one round, as the only cell of a matrix of its own."""
    whole = workspace.matrix
    model = next(model for model in whole.models if model.name == cell.model)
    alone = {
        "models": [model.model_copy(update={"workloads": [dict(cell.workload)]})],
        "methods": [spec.Method(name=cell.method, passes=list(passes))],
        "runtimes": [cell.runtime],
        "devices": [cell.device],
        "measure": whole.measure.model_copy(update={"rounds": 1, "extra_rounds": 0}),
        "exclude": [],
        "include": [],
    }
    plan = workspace.plan_of(whole.model_copy(update=alone), lambda _: True)
    pass_ = workspace.run_over(plan, shown, interrupts)
    pass_.execute()
    return _collect(workspace, pass_).cells[0]


def _skipped(plan: Plan) -> list[str]:
    """One line for every reason for which picked cells are skipped."""
    counts = Counter((planned.cell.device, planned.reason) for planned in plan.wanted if planned.status == "skipped")
    return [f"{count} cells on {device} are skipped: {reason}" for (device, reason), count in counts.items()]


def _collect(workspace: Workspace, pass_: Run) -> results.Results:
    collector = Collector(
        pass_.plan,
        workspace.catalog,
        workspace.engine,
        workspace.engine_reason,
        workspace.store,
        pass_.failures,
        {cell: choice.record for cell, choice in workspace.choices.items()},
    )
    return collector.results(workspace.matrix_file.read_text("utf-8"))


def _summary(made: results.Results, out: Path) -> str:
    counts: dict[str, int] = {}
    for cell in made.cells:
        counts[cell.status] = counts.get(cell.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(made.cells)} cells: {told}\nreport: {out / 'index.html'} and {out / 'README.md'}"


def _require_space(workspace: Workspace, pass_: Run) -> None:
    missing = missing_steps(pass_.plan, workspace.store)
    images = [workspace.catalog.images[name] for name in workspace.plan.images(step.key for step in missing)]
    wanted = estimate.disk_mb(missing) + sum(
        image.disk_mb for image in images if missing_somewhere(workspace.engine, image)
    )
    free = shutil.disk_usage(workspace.store.root).free // 10**6
    if wanted > free:
        problem = f"the run needs about {wanted:,} MB, but the disk of {workspace.store.root} has {free:,} MB free"
        raise EnvironmentProblem(problem, "free some space (`harness clean`), or put the store elsewhere with --work")


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
    image = workspace.catalog.image_of(workspace.catalog.runtimes[planned.cell.runtime], planned.cell.device)
    if not missing_somewhere(workspace.engine, image):  # the container that is run by hand gets the code of now
        for place in workspace.engine.places():
            workspace.engine.refresh(image, hand_closure(workspace.catalog, image), place, _say)
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
    chosen, reason = registry.choose(engine, work)
    print(reason, file=sys.stderr, flush=True)
    for name in names or sorted(catalog.images):
        image = catalog.images[name]
        for place in chosen.places():
            built = chosen.refresh(image, hand_closure(catalog, image), place, _say)
            print(f"{name}: {built.reference}", file=sys.stderr, flush=True)


def test_itself(work: Path, engine: str, repeats: int, seed: int) -> results.SelfTest:
    """Run the self-test in a store that is this process's alone."""
    chosen, reason = registry.choose(engine, work)
    _say(reason)
    store = Store(work)
    lock = store.lock()
    try:
        return selftest.run(load_catalog(), chosen, store, repeats, seed, _say)
    finally:
        lock.release()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
