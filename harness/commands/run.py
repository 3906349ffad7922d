"""Run what is missing of a matrix and write its report."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness import results
from harness.collect import keep
from harness.collect.rows import Collector
from harness.commands import up_to_date
from harness.commands.workspace import Workspace
from harness.engines.contract import missing_somewhere
from harness.errors import EnvironmentProblem, Exit, UsageError
from harness.matrix import spec
from harness.matrix.expand import MatrixCell, expand
from harness.matrix.plan import Plan
from harness.runner import estimate, progress
from harness.runner.interrupt import Interrupted, Interrupts
from harness.runner.search import Passes, describe, search
from harness.runner.stages import Run, missing_steps


@dataclass(frozen=True)
class Finished:
    """What a run came to."""

    exit: Exit
    out: Path  # the folder of the report
    results: results.Results | None  # None where the run was stopped


def run(workspace: Workspace, display: progress.Kind = "auto", *, force: bool = False) -> Finished:
    """Run what is missing and write the report, in which rows of an earlier one stay.

    Raises UsageError, before anything is run, where measured rows of the earlier report would be lost and ``force`` is not
    said; EnvironmentProblem where the disk is too small.
    """
    before = _earlier(workspace, force)
    shown = progress.make(display)
    lock = workspace.store.lock()
    interrupts = Interrupts(shown.say, workspace.engine.kill)
    try:
        with interrupts:
            _search(workspace, shown, interrupts)
            pass_ = workspace.run_over(workspace.plan, shown, interrupts)
            for line in _skipped(workspace.plan):
                shown.say(line)
            if before is not None and not workspace.choices and up_to_date.is_current(workspace):
                pass_.note_use()
                _say_idle(workspace, shown)
                return _finished(workspace, before)
            _require_space(workspace, pass_)
            pass_.execute()
    except Interrupted:
        shown.say("stopped; all finished steps are kept: run the same command again to go on")
        return Finished(Exit.INTERRUPTED, workspace.out, None)
    finally:
        lock.release()
    made = _publish(workspace, pass_, before, shown)
    if not workspace.choices and not pass_.failures and not missing_steps(pass_.plan, workspace.store):
        up_to_date.mark(workspace)
    return _finished(workspace, made)


def _say_idle(workspace: Workspace, shown: progress.Progress) -> None:
    page = workspace.out / "index.html"
    shown.say(f"nothing to do: all {len(workspace.plan.wanted)} cells are measured, {page} is up to date")


def _finished(workspace: Workspace, made: results.Results) -> Finished:
    code = Exit.CELLS_FAILED if any(cell.status.failed for cell in made.cells) else Exit.OK
    return Finished(code, workspace.out, made)


def _earlier(workspace: Workspace, force: bool) -> results.Results | None:
    """The results that the report's folder holds. Raises UsageError where the run would lose rows of them."""
    file = workspace.out / "results.json"
    before = results.read(file)
    if before is None:
        return None
    cells = expand(workspace.matrix)
    ids, picked = {cell.id for cell in cells}, {cell.id for cell in cells if workspace.wanted(cell)}
    gone = keep.lost(before, workspace.matrix_file.read_text("utf-8"), ids, picked)
    if gone and not force:
        problem = (
            f"{file} holds {len(gone)} measured rows that {workspace.matrix_file} does not have, such as {gone[0]}"
        )
        raise UsageError(problem, _WAYS_OUT)
    return before


_WAYS_OUT = "write the report elsewhere with --out, or drop what is there with --force"


def _publish(
    workspace: Workspace, pass_: Run, before: results.Results | None, shown: progress.Progress
) -> results.Results:
    """Collect the rows and draw the report, unless it is drawn already."""
    made = _collect(workspace, pass_)
    if before is not None:
        made = keep.keep(made, before)
        if not pass_.ran and before.cells == made.cells:  # the same run, drawn again
            made = made.model_copy(update={"created_at": before.created_at})
    if not pass_.ran and before == made and (workspace.out / "index.html").exists():
        _say_idle(workspace, shown)
        return made
    from harness import report  # a fifth of a second that a run with nothing to do does not spend

    report.render(made, workspace.out)
    if not pass_.ran:
        shown.say("nothing to measure: the report is drawn again")
    shown.say(_summary(made, workspace.out))
    return made


def _search(workspace: Workspace, shown: progress.Progress, interrupts: Interrupts) -> None:
    """Choose the passes of every picked cell whose method is automatic."""
    methods = {method.name: method.search for method in workspace.matrix.methods}
    for cell in filter(workspace.wanted, expand(workspace.matrix)):
        space = methods[cell.method]
        if space is None or workspace.devices[cell.device]:
            continue

        def measure(passes: Passes, cell: MatrixCell = cell) -> results.Cell:
            shown.say(f"{cell.id}: trying {describe(passes)}")
            return _try(workspace, cell, passes, shown, interrupts)

        choice = search(space, workspace.matrix.measure.seed, measure)
        workspace.choices[cell.id] = choice
        shown.say(f"{cell.id}: {choice.record.reason}")


def _try(
    workspace: Workspace, cell: MatrixCell, passes: Passes, shown: progress.Progress, interrupts: Interrupts
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
        workspace.here,
        {cell: choice.record for cell, choice in workspace.choices.items()},
    )
    return collector.results(workspace.matrix_file.read_text("utf-8"))


def _summary(made: results.Results, out: Path) -> str:
    counts: dict[str, int] = {}
    for cell in made.cells:
        counts[cell.status] = counts.get(cell.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    if stayed := keep.kept(made):
        told += f"; {len(stayed)} of them kept from earlier results"
    return f"{len(made.cells)} cells: {told}\nreport: {out / 'index.html'} and {out / 'README.md'}"


def _require_space(workspace: Workspace, pass_: Run) -> None:
    images = [workspace.catalog.images[name] for name in workspace.plan.images(step.key for step in pass_.missing)]
    wanted = estimate.disk_mb(pass_.missing) + sum(
        image.disk_mb for image in images if missing_somewhere(workspace.engine, image)
    )
    free = shutil.disk_usage(workspace.store.root).free // 10**6
    if wanted > free:
        problem = f"the run needs about {wanted:,} MB, but the disk of {workspace.store.root} has {free:,} MB free"
        raise EnvironmentProblem(problem, "free some space (`harness clean`), or put the store elsewhere with --work")
