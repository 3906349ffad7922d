"""The report as Markdown: the course's own table first, then what is behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.report.charts import quality as charts
from harness.report.charts.quality import Key
from harness.report.language import numbers
from harness.report.language.markup import escape, fence, shorten
from harness.report.language.untrusted_text import date, slug
from harness.report.language.voice import Voice
from harness.report.table import summary
from harness.report.table.effects import artifacts, effects
from harness.report.table.model import Row, Table
from harness.report.table.runtimes import runtimes
from harness.results import Cell, Results, Status

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class CourseRow:
    """One line of the course's table: a model, method and runtime with its workload, on whatever devices it ran."""

    model: str
    method: str
    cells: tuple[str, ...]  # weights, CPU ms, GPU ms, RAM, VRAM, quality


def render_markdown(results: Results, table: Table, chart_files: list[str]) -> str:
    """``README.md`` in the language of the results."""
    say = voice(results.language)
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


def voice(language: str) -> Voice:
    """A language for Markdown: arguments are escaped."""
    return Voice(language, escape, lambda text: f"**{text}**")


def render_charts(table: Table, key: Key, language: str) -> dict[str, str]:
    """File name -> SVG, for every group with something to draw; one group of a model keeps the model's bare name."""
    groups = [group for group in table.groups if charts.plotted(group)]
    models = [group.model for group in groups]
    files: dict[str, str] = {}
    for group in groups:
        name = f"pareto-{slug(group.model if models.count(group.model) == 1 else group.name)}"
        while f"{name}.svg" in files:
            name += "-"
        files[f"{name}.svg"] = charts.pareto(group, key, language, standalone=True) + "\n"
    return files


def course_rows(table: Table, say: Voice) -> list[CourseRow]:
    """The measured rows; cells that differ in the device only share a line."""
    shared: dict[tuple[object, ...], list[Row]] = {}
    for row in table.rows:
        cell = row.cell
        if row.measured:
            shared.setdefault((cell.model, cell.method, cell.runtime, tuple(cell.workload.items())), []).append(row)
    return [_course_row(rows, table, say) for rows in shared.values()]


def _course_row(rows: list[Row], table: Table, say: Voice) -> CourseRow:
    first = next((row for row in rows if row.cell.device == "cpu"), rows[0])
    cell = first.cell
    model = escape(shorten(cell.model))
    if table.workloads_of(cell.model) > 1:
        model += f" ({say.workload(cell.workload)})"
    weights = numbers.megabytes(cell.weights_bytes)
    values = (
        say("markdown.megabytes", value=weights) if cell.weights_bytes is not None else numbers.DASH,
        _latency(rows, cpu=True),
        _latency(rows, cpu=False),
        numbers.megabytes(cell.ram_bytes),
        numbers.megabytes(max((row.cell.vram_bytes for row in rows if row.cell.vram_bytes is not None), default=None)),
        _quality(first),
    )
    return CourseRow(model, f"{escape(shorten(cell.method))} · {escape(shorten(cell.runtime))}", values)


def _latency(rows: Iterable[Row], *, cpu: bool) -> str:
    for row in rows:
        latency = row.cell.latency_ms
        if latency and (row.cell.device == "cpu") is cpu:
            text = numbers.measured(latency.p50, latency.interval)
            return f"~~{text}~~" if row.cell.status is Status.DIVERGED else text
    return numbers.DASH


def _quality(row: Row) -> str:
    quality = row.cell.quality
    if quality is None:
        return numbers.DASH
    return f"{escape(summary.metric(quality.metric))} {numbers.measured(quality.value, quality.interval)}"


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
        f"{say(f'column.{column}')}: {say.message(reason)}"
        for row in table.rows
        if row.measured
        for column, reason in row.missing.items()
    ]
    return [f"{line} ({say('cells', count)})" for line, count in Counter(lines).items()]
