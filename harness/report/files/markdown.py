"""The report as Markdown: the course's own table first, then what is behind it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.report.charts import quality as charts
from harness.report.charts.quality import Key
from harness.report.language import numbers
from harness.report.language.catalogue import Word
from harness.report.language.markup import escape, fence, literal, shorten
from harness.report.language.vocabulary import Vocabulary
from harness.report.language.voice import Voice
from harness.report.table import summary
from harness.report.table.column import TableColumn, marked
from harness.report.table.columns import course_columns, vocabulary
from harness.report.table.effects import artifacts, effects
from harness.report.table.machines import described, measuring
from harness.report.table.model import Row, Table
from harness.report.table.runtimes import runtimes
from harness.results import Cell, Results, Status
from harness.untrusted_text import date, slug

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class CourseRow:
    """One line of the course's table: a model, method and runtime with a workload on a machine, on any of its devices."""

    model: str
    method: str
    cells: tuple[str, ...]  # of ``columns.course_columns``


def render_markdown(results: Results, table: Table, chart_files: list[str]) -> str:
    """``README.md`` in the language of the results."""
    say = voice(results.language, vocabulary(results))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # Markdown has its own escape, applied to every expression below
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"esc": escape, "block": fence, "number": numbers.number, "cut": shorten, "date": date}
    return environment.get_template("README.md.jinja").render(
        results=results,
        env=results.environment,
        machines=measuring(results),
        gpus=described,
        machine_word=lambda id: Word("machine", id),
        heading=lambda key: Word("column", key),
        columns=course_columns(table),
        noise=summary.noise(results),
        busy=summary.busy(results),
        table=table,
        say=say,
        numbers=numbers,
        rows=course_rows(table, say),
        dashes=dashes(table, say),
        findings=summary.findings(table),
        charts=chart_files,
        failures=failures(table),
        runtimes=runtimes(table),
        artifacts=artifacts(table),
        effects=effects,
        commands=[row for row in table.rows if row.cell.command],
    )


def voice(language: str, words: Vocabulary | None = None) -> Voice:
    """A language for Markdown: arguments are escaped."""
    return Voice(language, escape, lambda text: f"**{text}**", words)


def render_charts(table: Table, key: Key, say: Voice) -> dict[str, str]:
    """File name -> SVG, for every group with something to draw; one group of a model keeps the model's bare name."""
    groups = [group for group in table.groups if charts.plotted(group)]
    models = [group.model for group in groups]
    files: dict[str, str] = {}
    for group in groups:
        name = f"pareto-{slug(group.model if models.count(group.model) == 1 else group.name)}"
        while f"{name}.svg" in files:
            name += "-"
        files[f"{name}.svg"] = charts.pareto(group, key, say, standalone=True) + "\n"
    return files


def course_rows(table: Table, say: Voice) -> list[CourseRow]:
    """The measured rows; cells that differ in the device only share a line."""
    shared: dict[tuple[object, ...], list[Row]] = {}
    for row in table.rows:
        cell = row.cell
        if row.measured:
            key = (cell.model, cell.method, cell.runtime, tuple(cell.workload.items()), cell.machine)
            shared.setdefault(key, []).append(row)
    return [_course_row(rows, table, say) for rows in shared.values()]


def _course_row(rows: list[Row], table: Table, say: Voice) -> CourseRow:
    """What the row on the CPU says, and where it says nothing the first that does."""
    rows = sorted(rows, key=lambda row: row.cell.device != "cpu")
    cell = rows[0].cell
    model = escape(shorten(cell.model))
    if table.workloads_of(cell.model) > 1:
        model += f" ({say.workload(cell.workload)})"
    plain = Voice(say.language, str, str, say.vocabulary)
    values = (_course_value(column, rows, plain) for column in course_columns(table))
    return CourseRow(model, f"{escape(shorten(cell.method))} · {escape(shorten(cell.runtime))}", tuple(values))


def _course_value(column: TableColumn, rows: list[Row], say: Voice) -> str:
    unit = column.unit.get(say.language, "") if column.course_unit else ""
    values = (marked(column, row, say, literal, "~~{}~~", unit) for row in rows)
    return next((value for value in values if value != numbers.DASH), numbers.DASH)


@dataclass(frozen=True)
class Failures:
    """Rows that are not ``ok`` for one and the same reason: what they have in common, and how many they are."""

    cells: str
    count: int
    status: Status
    reason: str | None


def failures(table: Table) -> list[Failures]:
    """Every reason once, with the names of its cells; an axis on which they all agree is named, the others are counted out."""
    shared: dict[tuple[Status, str | None], list[Cell]] = {}
    for row in table.rows:
        if row.cell.status is not Status.OK:
            shared.setdefault((row.cell.status, row.cell.reason), []).append(row.cell)
    return [Failures(_common(cells), len(cells), *key) for key, cells in shared.items()]


def _common(cells: list[Cell]) -> str:
    """``model · method · runtime · device``, each axis with all its values among the cells."""
    axes = ("model", "method", "runtime", "device")
    values = (dict.fromkeys(str(getattr(cell, axis)) for cell in cells) for axis in axes)
    return " · ".join(", ".join(names) for names in values)


def dashes(table: Table, say: Voice) -> list[str]:
    """Why there are dashes in the course's table, each reason once with the number of rows."""
    lines = [
        f"{say.word(Word('column', column))}: {say.message(reason)}"
        for row in table.rows
        if row.measured
        for column, reason in row.missing.items()
    ]
    return [f"{line} ({say('cells', count)})" for line, count in Counter(lines).items()]
