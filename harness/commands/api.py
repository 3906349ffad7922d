"""The Python API; the command line stands on it. ``import harness; harness.run("matrix.yaml")``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from harness.commands import preview, workspace
from harness.commands import run as running
from harness.commands.run import Finished
from harness.commands.workspace import Workspace
from harness.runner.progress import Kind

if TYPE_CHECKING:
    from harness.report.history.compare import RunComparison


class Options(TypedDict, total=False):
    """What all functions take besides the matrix file; the names are those of the command line's options."""

    work: str | Path  # where steps, wheels and environments are kept: ".matrix"
    engine: str  # "auto", "docker", "venv" or "host"
    out: str | Path  # folder of the report: "reports"
    only: str | Sequence[str]  # "runtime=pytorch,onnxruntime", or several of these
    skip: str | Sequence[str]
    cells: str | Sequence[str]  # ids: "model/method/runtime/device/workload"
    failed: bool  # only cells that failed in the last results
    images: str | Path | Sequence[str | Path]  # more folders of images
    machine: str | None  # how this machine is called in the results


def load(matrix: str | Path = "matrix.yaml", **options: Unpack[Options]) -> Workspace:
    """Read a matrix file, choose the engine and pick cells; nothing is run.

    Raises UsageError for a wrong matrix or selection, EnvironmentProblem where the engine cannot be used.
    """
    return workspace.open_(
        matrix_file=Path(matrix),
        work=Path(options.get("work", ".matrix")),
        engine=options.get("engine", "auto"),
        out=Path(options.get("out", "reports")),
        only=_words(options.get("only", ())),
        skip=_words(options.get("skip", ())),
        cells=_words(options.get("cells", ())),
        failed=options.get("failed", False),
        images=_folders(options.get("images", ())),
        machine=options.get("machine"),
    )


def plan(matrix: str | Path = "matrix.yaml", **options: Unpack[Options]) -> dict[str, Any]:
    """What a run would do: cells with their steps, what is cached, and an estimate of time and disk; runs nothing.

    The keys are those of ``harness plan --json``. Raises what ``load`` raises.
    """
    return preview.of(load(matrix, **options))


def run(
    matrix: str | Path = "matrix.yaml", *, progress: Kind = "auto", force: bool = False, **options: Unpack[Options]
) -> Finished:
    """Run what is missing and write the report into ``out``. Cells that fail are rows, not errors.

    Raises what ``load`` raises, and UsageError where measured rows of an earlier report in ``out`` would be lost and ``force``
    is False.
    """
    return running.run(load(matrix, **options), progress, force=force)


def compare(
    before: str | Path, after: str | Path = "reports/results.json", threshold: float | None = None
) -> RunComparison:
    """Two runs beside each other: results files, or git revisions that hold reports/results.json.

    ``threshold`` is the relative change that counts, 5 % where it is None. Raises UsageError where there are no such results.
    """
    from harness.report.history.compare import THRESHOLD, compare, load  # a run with nothing to do draws no report

    return compare(load(str(before)), load(str(after)), THRESHOLD if threshold is None else threshold)


def _words(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _folders(value: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(value)] if isinstance(value, (str, Path)) else [Path(folder) for folder in value]
