"""``run`` and ``plan``."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import click

from harness import terminal
from harness.cli import options
from harness.errors import Exit


@click.command()
@options.matrix_or_argument
@options.place
@options.machine
@options.out
@options.selection
@click.option("--plan", "only_plan", is_flag=True, help="Only list what would be done.")
@click.option(
    "--force", is_flag=True, help="Drop measured rows that the report in --out holds and the matrix does not."
)
@click.option(
    "--progress", default="auto", show_default=True, type=click.Choice(["auto", "tty", "plain", "json"]),
    help="How progress is shown.",
)  # fmt: skip
@options.json_
def run(matrix: Path, only_plan: bool, force: bool, as_json: bool, progress: Any, **where: Any) -> None:
    """Run a matrix (matrix.yaml where none is named) and write the report. Rows that it does not measure stay in the report.

    \b
    examples:
      harness run --only 'runtime=onnxruntime method=original,int8-dynamic'
      harness run examples/methods.yaml --out reports/methods --failed

    Exit codes: 0 none failed (a row may have diverged); 1 some failed (the report is written); 2 a mistake in the matrix or
    on the command line; 3 the engine or something else outside is missing; 130 interrupted.
    """
    from harness.commands import api

    if only_plan:
        _print_plan(api.plan(matrix, **where), as_json)
        return
    ran = api.run(matrix, progress=progress, force=force, **where)
    if as_json and ran.results:
        click.echo((ran.out / "results.json").read_text("utf-8"))
    _leave(ran.exit)


def _leave(code: Exit) -> None:
    """End at once where Ctrl-C came twice and a download, which nothing can end, is still under way in a thread."""
    threads = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if code == Exit.INTERRUPTED and any(not thread.daemon for thread in threads):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))
    sys.exit(int(code))


@click.command()
@options.matrix_or_argument
@options.place
@options.machine
@options.selection
@options.json_
def plan(matrix: Path, as_json: bool, **where: Any) -> None:
    """List every cell with its steps, what is cached, and an estimate of time and disk; run nothing.

    \b
    examples:
      harness plan
      harness plan examples/first.yaml --only model=digits-cnn --json
    """
    from harness.commands import api

    _print_plan(api.plan(matrix, **where), as_json)


def _print_plan(found: dict[str, Any], as_json: bool) -> None:
    from harness.commands import preview

    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        terminal.show(preview.text(found))
