"""The place where one works: ``init``, ``doctor``, ``clean``, ``schema``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from harness import terminal
from harness.cli import options
from harness.errors import Exit


@click.command()
@options.place
@click.option(
    "--store", "of_store", is_flag=True, help="Look at all finished steps instead: every file against its hash."
)
@options.json_
def doctor(work: Path, engine: str, images: tuple[Path, ...], of_store: bool, as_json: bool) -> None:
    """Say what is here (engine, GPU, disk, CPU features), what each runtime could use, and how to get what is missing.

    \b
    examples:
      harness doctor
      harness doctor --engine venv --json
      harness doctor --store

    Exit codes: 0 a run could start; 3 it could not. With --store: 0 all steps are whole; 1 some are damaged.
    """
    from harness.commands import doctor as examination

    findings = examination.examine_store(work) if of_store else examination.examine(work, engine, images)
    if as_json:
        click.echo(json.dumps(examination.as_data(findings), indent=1))
    else:
        terminal.show(examination.text(findings))
    problem = Exit.CELLS_FAILED if of_store else Exit.ENVIRONMENT
    sys.exit(int(problem if any(finding.state == "problem" for finding in findings) else Exit.OK))


@click.command()
@options.work
@click.option(
    "--older-than", default="0s", metavar="DURATION", help="Only what was not used for that long, such as 14d or 6h."
)
@click.option("--images", "with_images", is_flag=True, help="Remove our Docker images and virtual environments too.")
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@options.json_
def clean(work: Path, older_than: str, with_images: bool, dry_run: bool, as_json: bool) -> None:
    """Free disk space: finished and failed steps, downloaded wheels, environments.

    \b
    examples:
      harness clean --dry-run
      harness clean --older-than 14d
    """
    from harness.commands import clean

    freed = clean.clean(work, clean.parse_age(older_than), with_images=with_images, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(freed))
    else:
        terminal.show(clean.text(freed, dry_run))


@click.command()
@click.argument("what", default="matrix", type=click.Choice(["matrix", "results"]))
def schema(what: str) -> None:
    """Print the JSON Schema of matrix.yaml or of results.json.

    \b
    examples:
      harness schema > matrix.schema.json
      harness schema results
    """
    if what == "matrix":
        from harness.matrix.spec import json_schema
    else:
        from harness.results import json_schema
    click.echo(json.dumps(json_schema(), indent=1))


@click.command()
@click.option("--out", default="matrix.yaml", show_default=True, type=click.Path(path_type=Path, dir_okay=False))
def init(out: Path) -> None:
    """Write a small matrix.yaml to start from, and its JSON Schema beside it for editors that complete from one.

    \b
    examples:
      harness init
      harness init --out mine.yaml
    """
    from harness.commands import init

    init.write(out)
    terminal.say(f"wrote {out}; try: harness plan {out}")
