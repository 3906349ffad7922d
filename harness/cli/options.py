"""The options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from harness.errors import UsageError

Command = Callable[..., Any]

WORK = Path(".matrix")
MATRIX = Path("matrix.yaml")

matrix = click.option(
    "--matrix", "-m", "matrix", default=MATRIX, show_default=True, type=click.Path(path_type=Path),
    help="The matrix file.",
)  # fmt: skip
work = click.option(
    "--work", default=WORK, show_default=True, type=click.Path(path_type=Path, file_okay=False),
    help="Where steps, wheels and environments are kept.",
)  # fmt: skip
engine = click.option(
    "--engine", default="auto", show_default=True, metavar="NAME",
    help="Where steps run: docker, venv, host, or a plug-in's. `auto` takes the first that answers.",
)  # fmt: skip
images = click.option(
    "--images", multiple=True, metavar="DIR", envvar="MATRIX_IMAGES", show_envvar=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="One more folder of runtimes and toolchains, laid out like images/; may be repeated.",
)  # fmt: skip
machine = click.option(
    "--machine", metavar="NAME", envvar="MATRIX_MACHINE", show_envvar=True,
    help="What the results call this machine. Machines of one name are compared as one.",
)  # fmt: skip
out = click.option(
    "--out", default="reports", show_default=True, type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the report.",
)  # fmt: skip
json_ = click.option(
    "--json", "as_json", is_flag=True, help="Print data on standard output, all else on standard error."
)


def selection(command: Command) -> Command:
    """``--only``, ``--skip``, ``--cell`` and ``--failed``."""
    for option in (
        click.option("--failed", is_flag=True, help="Only cells that failed in the last results."),
        click.option(
            "--cell", "cells", multiple=True, metavar="ID", help="Only this cell: model/method/runtime/device/workload."
        ),
        click.option("--skip", multiple=True, metavar="AXIS=A,B", help="Leave out, such as --skip method=fp16."),
        click.option(
            "--only", multiple=True, metavar="AXIS=A,B", help="Only these, such as --only runtime=pytorch,onnxruntime."
        ),
    ):
        command = option(command)
    return command


def place(command: Command) -> Command:
    """``--work``, ``--engine`` and ``--images``: what every command that opens a catalog and an engine has."""
    return work(engine(images(command)))


def matrix_or_argument(command: Command) -> Command:
    """The matrix file as an argument, or as ``--matrix``; the command gets it as ``matrix``."""

    @wraps(command)
    def merged(file: Path | None, matrix: Path, **rest: Any) -> Any:
        if file is None:
            return command(matrix=matrix, **rest)
        if matrix not in (MATRIX, file):
            raise UsageError(f"two matrix files are named: {file} and {matrix}", "name one of them")
        return command(matrix=file, **rest)

    argument = click.argument("file", required=False, metavar="[MATRIX]", type=click.Path(path_type=Path))
    return argument(matrix(merged))
