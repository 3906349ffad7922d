"""The report as one HTML file: no network, nothing run but its own script, every string from outside escaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from harness.report.charts import marks, palette, samples
from harness.report.charts import quality as charts
from harness.report.charts.quality import COSTS, Key
from harness.report.history import compare as comparing
from harness.report.html import page, page_data
from harness.report.language import numbers
from harness.report.language.catalogue import Word
from harness.report.language.phrases import quality_word, speed_words
from harness.report.language.voice import HtmlVoice
from harness.report.table import picks, summary
from harness.report.table.column import written
from harness.report.table.columns import page_columns, shown_columns, vocabulary
from harness.report.table.coverage import coverage
from harness.report.table.effects import effects
from harness.report.table.machines import described, measuring
from harness.report.table.model import Row, Table
from harness.report.table.notes import note
from harness.report.table.runtimes import runtimes
from harness.results import Results

#: The script, part by part; each is functions and classes, the last one begins.
SCRIPT = (
    "words",
    "numbers",
    "stats",
    "state",
    "rows",
    "notes",
    "table",
    "picks",
    "charts",
    "panels",
    "cell",
    "export",
    "main",
)

LANGUAGES = {"en": "English", "ru": "Русский"}


def render_html(results: Results, table: Table, before: Results | None = None) -> str:
    """The page, in the language of the results until its reader chooses another; ``before``: what it is compared with."""
    key = Key(table.names("method"), table.names("runtime"))
    say = HtmlVoice(results.language, vocabulary(results))
    environment = _environment(say)
    environment.globals["table"] = table
    pieces = _Pieces(environment)
    panels = _panels(table, key, say)
    maps = Markup(environment.get_template("maps.html.jinja").render(coverage=coverage(table)))
    inline = page_data.inline(table)
    data, packed = page_data.page_data(results, table, say.vocabulary), None
    if rest := table.rows[inline:]:
        data = {"packed": page_data.packed(data)}
        drawn = {panel["index"]: panel["charts"] for panel in panels}
        shown = [pieces.row(row) + pieces.detail(row, "") for row in rest]
        packed = Markup(page_data.pack(shown, [pieces.cards(row) for row in rest], drawn, maps))
    style, script = _style(), _script()
    return environment.get_template("index.html.jinja").render(
        results=results,
        env=results.environment,
        machines=measuring(results),
        noise=summary.noise(results),
        busy=summary.busy(results),
        languages=LANGUAGES,
        table=table,
        key=key,
        panels=panels,
        costs=_costs(table),
        comparison=before and _comparison(before, results),
        maps=maps,
        columns=page_columns(),
        shown_columns=[*shown_columns(table), "spark"],
        baselines=tuple(dict.fromkeys((row.cell.method, row.cell.runtime) for row in table.rows)),
        inline=inline,
        pieces=pieces,
        runtimes=runtimes(table),
        style=Markup(style),
        script=Markup(script),
        script_hash=page.digest(script),
        data=Markup(page_data.as_script(data)),
        packed=packed,
        baseline=" ".join(results.baseline[name] for name in ("runtime", "method") if name in results.baseline),
    )


@dataclass(frozen=True)
class _Pieces:
    """The markup of a row and of what is below it: in the document, or packed."""

    environment: Environment

    def row(self, row: Row) -> Markup:
        return self._rendered("row", row=row)

    def cards(self, row: Row) -> Markup:
        return self._rendered("cards", row=row, cell=row.cell)

    def detail(self, row: Row, cards: str) -> Markup:
        return self._rendered("detail", row=row, cards=cards)

    def _rendered(self, name: str, **values: Any) -> Markup:
        return Markup(self.environment.get_template(f"{name}.html.jinja").render(**values))


def _environment(say: HtmlVoice) -> Environment:
    environment = page.environment()
    environment.filters |= {
        "number": numbers.number,
        "margin": numbers.margin,
        "bracket": numbers.bracket,
        "megabytes": numbers.megabytes,
        "difference": numbers.difference,
        "pairs": lambda values: ", ".join(f"{name} = {value}" for name, value in values.items()),
    }
    environment.globals |= {
        "say": say,
        "numbers": numbers,
        "summary": summary,
        "swatch": lambda colour, shape: Markup(charts.swatch(colour, shape)),
        "strips": lambda latency: Markup(samples.strips(latency, say)),
        "spark": lambda latency: Markup(samples.spark(latency)),
        "columns": page_columns(),
        "written": written,
        "note": note,
        "metric": summary.metric,
        "word": Word,
        "gpus": described,
        "speed_words": speed_words,
        "quality_word": quality_word,
        "effects": effects,
        "change_of_size": comparing.change_of_size,
    }
    environment.globals["ui"] = environment.get_template("macros.html.jinja").module
    return environment


def _panels(table: Table, key: Key, say: HtmlVoice) -> list[dict[str, Any]]:
    """The first glance: for each group with measurements its sentences, its picks and its charts."""
    findings = {id(finding.group): finding for finding in summary.findings(table)}
    return [
        {
            "index": index,
            "group": group,
            "finding": findings.get(id(group)),
            "picks": picks.picks(group),
            "charts": {
                cost: Markup(charts.pareto(group, key, say, standalone=False, cost=cost))
                for cost in COSTS
                if charts.plotted(group, cost)
            },
        }
        for index, group in enumerate(table.groups)
        if group.measured
    ]


def _costs(table: Table) -> list[str]:
    """What quality can be held against in any group."""
    return [cost for cost in COSTS if any(charts.plotted(group, cost) for group in table.groups)]


def _comparison(before: Results, after: Results) -> dict[str, Any]:
    found = comparing.compare(before, after)
    return {"before": before, "found": found, "changed": comparing.changed(found)}


def _style() -> str:
    return "\n".join([palette.page(), page.source("style.css"), _hidden(), marks.STYLE])


def _script() -> str:
    return "\n".join(['"use strict";', "(() => {", *(page.source(f"page/{name}.js") for name in SCRIPT), "})();"])


def _hidden() -> str:
    """The rules by which the table hides a column: its class ``no-KEY``."""
    keys = [*(column.key for column in page_columns()), "spark"]
    return f"{','.join(f'.no-{key} [data-column={key}]' for key in keys)}{{display:none}}"
