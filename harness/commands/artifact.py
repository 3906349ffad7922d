"""What one cell measures, laid out in a folder for a container that is run by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import terminal
from harness.commands.workspace import Workspace
from harness.engines.contract import missing_somewhere
from harness.errors import EnvironmentProblem, UsageError, told_of_disk
from harness.runner.steps import hand_closure


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
    outputs: dict[Path, Path] = {}
    for target, key in parts.items():
        output = workspace.store.output(key)
        if output is None:
            title = workspace.plan.steps[key].title
            raise UsageError(f"not made yet: {title}", f"run `harness run --cell {planned.cell.id}` first")
        outputs[target] = output
    image = workspace.catalog.image_of(workspace.catalog.runtimes[planned.cell.runtime], planned.cell.device)
    if not missing_somewhere(workspace.engine, image):  # the container that is run by hand gets the code of now
        for place in workspace.engine.places():
            workspace.engine.refresh(image, hand_closure(workspace.catalog, image), place, terminal.say)
    for target, output in outputs.items():
        _copy(output, target)


def _copy(output: Path, target: Path) -> None:
    try:
        with told_of_disk(target):
            shutil.copytree(output, target, dirs_exist_ok=True)
    except shutil.Error as error:  # what went wrong with each file, in words
        _, copy, why = error.args[0][0]
        raise EnvironmentProblem(f"{copy}: {why}", "mend that, or name another folder with --out") from error
