"""The command line: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness import __version__
from harness.errors import Exit, HarnessError, UsageError

WORK = Path(".matrix")

_matrix_option = click.option(
    "--matrix", "-m", "matrix_file", default="matrix.yaml", show_default=True, type=click.Path(path_type=Path),
    help="The matrix file.",
)  # fmt: skip
_work_option = click.option(
    "--work", default=WORK, show_default=True, type=click.Path(path_type=Path, file_okay=False),
    help="Where steps, wheels and environments are kept.",
)  # fmt: skip
_engine_option = click.option(
    "--engine", default="auto", show_default=True, type=click.Choice(["auto", "docker", "venv", "host"]),
    help="Where steps run. `auto` takes Docker if an engine answers, else virtual environments.",
)  # fmt: skip
_out_option = click.option(
    "--out", default="reports", show_default=True, type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the report.",
)  # fmt: skip
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print data on standard output, all else on standard error."
)


def _selection(command: Callable[..., Any]) -> Callable[..., Any]:
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


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Tell a HarnessError in its own words, with its exit code."""
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(int(error.exit_code))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="harness")
def main() -> None:
    """Measure compressed models on every runtime and draw one honest table.

    \b
    examples:
      harness run                      the whole matrix.yaml, resumed where it stopped
      harness plan --only runtime=onnxruntime
    """


@main.command()
@_matrix_option
@_work_option
@_engine_option
@_out_option
@_selection
@click.option("--plan", "only_plan", is_flag=True, help="Only list what would be done.")
@click.option(
    "--progress", default="auto", show_default=True, type=click.Choice(["auto", "tty", "plain", "json"]),
    help="How progress is shown.",
)  # fmt: skip
@_json_option
def run(only_plan: bool, as_json: bool, progress: Any, out: Path, **where: Any) -> None:
    """Run the matrix and write the report.

    \b
    examples:
      harness run --only 'runtime=onnxruntime method=original,int8-dynamic'
      harness run -m examples/methods.yaml --failed

    Exit codes: 0 none failed (a row may have diverged); 1 some failed (the report is written); 2 a mistake in the matrix or
    on the command line; 3 the engine or something else outside is missing; 130 interrupted.
    """
    from harness.commands import workspace

    job = workspace.open_(out=out, **where)
    if only_plan:
        _print_plan(job, as_json)
        return
    code = workspace.run(job, progress)
    if as_json:
        click.echo((out / "results.json").read_text("utf-8"))
    sys.exit(int(code))


@main.command()
@_matrix_option
@_work_option
@_engine_option
@_selection
@_json_option
def plan(as_json: bool, **where: Any) -> None:
    """List every cell with its steps, what is cached, and an estimate of time and disk; run nothing.

    \b
    examples:
      harness plan
      harness plan --only model=digits-cnn --json
    """
    from harness.commands import workspace

    _print_plan(workspace.open_(out=Path("reports"), **where), as_json)


def _print_plan(job: Any, as_json: bool) -> None:
    from harness.commands import preview

    found = preview.of(job)
    click.echo(json.dumps(found, indent=1) if as_json else preview.text(found))


@main.command()
@_out_option
@click.option("--against", metavar="BEFORE", help="Show what changed since this run: a results file or a git revision.")
@_json_option
def report(out: Path, against: str | None, as_json: bool) -> None:
    """Draw the report again from its results.json; nothing is measured.

    \b
    examples:
      harness report
      harness report --against origin/main
    """
    from harness import report as drawing
    from harness import results as records
    from harness.report.history import compare as comparing

    results = records.read(out / "results.json")
    if results is None:
        raise UsageError(f"{out / 'results.json'} does not exist", "measure something first: `harness run`")
    drawing.render(results, out, comparing.load(against) if against else None)
    if as_json:
        click.echo(json.dumps({"report": str(out / "index.html")}))
    else:
        click.echo(f"wrote {out / 'index.html'} and {out / 'README.md'}", err=True)


@main.command()
@click.argument("before")
@click.argument("after", default="reports/results.json")
@click.option(
    "--threshold", default=0.05, show_default=True, type=click.FloatRange(0, 1), help="Relative change that counts."
)
@_json_option
def compare(before: str, after: str, threshold: float, as_json: bool) -> None:
    """Compare two runs: results files, or git revisions that hold reports/results.json. Prints Markdown for a pull request.

    \b
    examples:
      harness compare origin/main
      harness compare before.json after.json --threshold 0.1

    Exit codes: 0 nothing got worse; 1 a cell got slower, larger, worse or broken beyond the threshold; 2 no such results.
    """
    from harness.report.history import compare as comparing

    found = comparing.compare(comparing.load(before), comparing.load(after), threshold)
    if as_json:
        facts = [{"id": change.after.id, **change.signs} for change in found.changes if change.signs]
        click.echo(json.dumps({"changes": facts, "only_before": found.only_before, "only_after": found.only_after}))
    else:
        click.echo(comparing.as_markdown(found), nl=False)
    sys.exit(int(Exit.CELLS_FAILED if found.regressed else Exit.OK))


@main.command()
@click.argument("run", metavar="[RESULTS]", default="reports/results.json")
@click.option(
    "--format", "format_", default="markdown", show_default=True,
    type=click.Choice(["csv", "json", "markdown", "latex"]), help="Of what is written.",
)  # fmt: skip
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only the cells of this model; may be repeated.")
@click.option(
    "--columns", default="", metavar="A,B", help="Only these columns, in this order; by default the usual ones."
)
@click.option("--out", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write into this file.")
def export(run: str, format_: str, models: tuple[str, ...], columns: str, file: Path | None) -> None:
    """Write the table of results as CSV, JSON, Markdown or LaTeX. RESULTS: a results file, or a git revision that holds one.

    CSV and JSON have the columns of results.csv. Markdown and LaTeX have numbers as the report prints them, in the columns
    model, method, runtime, device, workload, weights, zstd, cpu_ms, gpu_ms, speed, ram, vram, quality and status.

    \b
    examples:
      harness export --format latex --model minilm-ner --out table.tex
      harness export --format csv --columns id,latency_p50_ms,weights_bytes
    """
    from harness.report.files.export import export as exporting
    from harness.report.history import compare as comparing

    wanted = [name.strip() for name in columns.split(",") if name.strip()]
    text = exporting(comparing.load(run), format_, models, wanted)
    if file is None:
        click.echo(text, nl=False)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode("utf-8"))  # as bytes: the line ends of CSV are CR LF on every system
    click.echo(f"wrote {file}", err=True)


@main.command()
@_out_option
@click.option("--to", "site", default="site", show_default=True, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--history", "newest", default=20, show_default=True, type=click.IntRange(1), help="Runs in the history, at most."
)
@click.option("--url", default="", metavar="BASE", help="Where the site will be: makes the links of its feed absolute.")
def publish(out: Path, site: Path, newest: int, url: str) -> None:
    """Write the report as a static site, ready for any web host, with the history of the runs that git holds.

    \b
    examples:
      harness publish
      harness publish --to public --history 50 --url https://example.org/report
    """
    from harness.matrix.spec import json_schema as matrix_schema
    from harness.report import site as publishing
    from harness.results import json_schema as results_schema

    schemas = {"matrix.schema.json": matrix_schema(), "results.schema.json": results_schema()}
    made = publishing.publish(out, site, schemas, newest, url)
    click.echo(f"wrote {len(made.files)} files into {site}; {publishing.described(made.history)}", err=True)


@main.command()
@_matrix_option
@_work_option
@_engine_option
@click.argument("cell")
@click.option(
    "--out", "folder", default="artifact", show_default=True, type=click.Path(path_type=Path, file_okay=False)
)
def artifact(cell: str, folder: Path, **where: Any) -> None:
    """Lay out what a cell measures in a folder, for a container that is run by hand.

    The folder holds the weights, manifest.json, and data/ with the cell's inputs and the held-out examples.

    \b
    examples:
      harness artifact digits-cnn/original/onnxruntime/cpu/b1-i32
      docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact
    """
    from harness.commands import workspace

    job = workspace.open_(out=Path("reports"), only=(), skip=(), cells=(cell,), failed=False, **where)
    workspace.lay_out(job, folder)
    click.echo(f"wrote {folder}", err=True)


@main.command()
@_work_option
@_engine_option
@click.argument("names", nargs=-1)
def images(names: tuple[str, ...], work: Path, engine: str) -> None:
    """Build images (all, or those named, such as runtimes/onnxruntime).

    \b
    examples:
      harness images
      harness images toolchains/torch
    """
    from harness.commands import workspace

    workspace.build_images(names, work, engine)


@main.command()
@_work_option
@click.option(
    "--older-than", default="0s", metavar="DURATION", help="Only what was not used for that long, such as 14d or 6h."
)
@click.option("--images", "with_images", is_flag=True, help="Remove our Docker images and virtual environments too.")
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@_json_option
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
        click.echo(clean.text(freed, dry_run))


@main.command()
@_work_option
@_engine_option
@_json_option
def doctor(work: Path, engine: str, as_json: bool) -> None:
    """Say what is here (engine, GPU, disk, CPU features), what each runtime could use, and how to get what is missing.

    \b
    examples:
      harness doctor
      harness doctor --engine venv --json

    Exit codes: 0 a run could start; 3 it could not.
    """
    from harness.commands import doctor as examination

    findings = examination.examine(work, engine)
    click.echo(json.dumps(examination.as_data(findings), indent=1) if as_json else examination.text(findings))
    sys.exit(int(Exit.ENVIRONMENT if any(finding.state == "problem" for finding in findings) else Exit.OK))


@main.command()
@_work_option
@_engine_option
@click.option("--repeats", default=20, show_default=True, type=click.IntRange(1), help="Comparisons of each kind.")
@click.option("--seed", default=0, show_default=True, help="Of the shuffled order of rounds.")
@_json_option
def selftest(work: Path, engine: str, repeats: int, seed: int, as_json: bool) -> None:
    """Hold what the harness finds against what is known: equal and unequal speeds, memory, its own overhead.

    Takes seconds a repeat on a quiet machine, up to a minute on a noisy one. The report shows the last one of this machine.

    \b
    examples:
      harness selftest
      harness selftest --repeats 100

    Exit codes: 0 all checks passed; 1 one failed; 3 the engine is missing.
    """
    from harness.commands import workspace
    from harness.run import selftest as testing

    made = workspace.test_itself(work, engine, repeats, seed)
    click.echo(made.model_dump_json(indent=1) if as_json else testing.text(made))
    sys.exit(int(Exit.OK if all(check.passed for check in made.checks) else Exit.CELLS_FAILED))


@main.command()
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


@main.command()
@click.option("--out", default="matrix.yaml", show_default=True, type=click.Path(path_type=Path, dir_okay=False))
def init(out: Path) -> None:
    """Write a small matrix.yaml to start from.

    \b
    examples:
      harness init
      harness init --out mine.yaml
    """
    from harness.catalog import ROOT

    if out.exists():
        raise UsageError(f"{out} exists", "name another file with --out")
    out.write_text((ROOT / "examples" / "first.yaml").read_text("utf-8"), "utf-8")
    click.echo(f"wrote {out}; try: harness plan --matrix {out}", err=True)
