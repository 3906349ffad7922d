"""The step that writes a data set's rows ready for a model: in a workload's shape where the spec has one, else to be scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import tasks
from harness.contracts.artifact import Context, ConversionError
from harness.contracts.task import Misfit, Row
from harness.datasets import Placed
from harness.toolchain.rows import placed_rows


def run(spec: Mapping[str, Any], out: Path, context: Context) -> None:
    """Prepare. Raises ConversionError where rows, model and workload do not fit each other."""
    task = tasks.prepare(spec["task"])
    columns = tasks.card(spec["task"]).columns
    placed = placed_rows(spec["dataset"], spec["split"], context.inputs, columns)
    rows = _sound(placed, getattr(task, "problem", lambda row: None))
    context.progress(0.3, f"preparing {len(rows)} rows of {spec['dataset']}")
    try:
        if spec["workload"] is None:
            task.prepare_evaluation(rows, context.inputs["model"], out)
        else:
            task.prepare_workload(rows, context.inputs["model"], spec["workload"], out)
    except Misfit as misfit:
        raise ConversionError(f"{spec['dataset']}: {misfit}") from misfit


def _sound(placed: list[Placed], problem: Callable[[Row], str | None]) -> list[Row]:
    """The rows. Raises ConversionError with the first one that has a problem."""
    for place, row in placed:
        if found := problem(row):
            raise ConversionError(f"{place}: {found}")
    return [row for _, row in placed]
