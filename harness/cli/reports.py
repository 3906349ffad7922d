"""What has been measured: ``report``, ``compare``, ``export``, ``publish``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from harness import terminal
from harness.cli import options
from harness.errors import Exit, UsageError


@click.command()
@options.out
@click.option("--against", metavar="BEFORE", help="Show what changed since this run: a results file or a git revision.")
@options.json_
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
        terminal.say(f"wrote {out / 'index.html'} and {out / 'README.md'}")


@click.command()
@click.argument("before")
@click.argument("after", default="reports/results.json")
@click.option(
    "--threshold", default=0.05, show_default=True, type=click.FloatRange(0, 1), help="Relative change that counts."
)
@options.json_
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
        terminal.show(comparing.as_markdown(found).rstrip("\n"))
    sys.exit(int(Exit.CELLS_FAILED if found.regressed else Exit.OK))


@click.command()
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
    from harness.report.files.replacing import replace
    from harness.report.history import compare as comparing

    wanted = [name.strip() for name in columns.split(",") if name.strip()]
    text = exporting(comparing.load(run), format_, models, wanted)
    if file is None:
        click.echo(text, nl=False)
        return
    replace(file.parent, [(file.name, text)])
    terminal.say(f"wrote {file}")


@click.command()
@options.out
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
    terminal.say(f"wrote {len(made.files)} files into {site}; {publishing.described(made.history)}")
