"""The report as one HTML file: no network, nothing run but its own script, every string from outside escaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from harness.report.charts import palette
from harness.report.charts import quality as charts
from harness.report.charts.quality import COSTS, Key
from harness.report.history import compare as comparing
from harness.report.html import page
from harness.report.html import page_data as live
from harness.report.language import numbers
from harness.report.language.voice import HtmlVoice
from harness.report.table import picks, summary
from harness.report.table.coverage import coverage
from harness.report.table.effects import effects
from harness.report.table.model import COLUMNS, Row, Table
from harness.report.table.runtimes import runtimes
from harness.results import Results
from harness.stats import Verdict

#: The script, part by part; each is functions and classes, the last one begins.
SCRIPT = ("words", "numbers", "stats", "state", "rows", "table", "picks", "charts", "panels", "cell", "export", "main")

LANGUAGES = {"en": "English", "ru": "Русский"}


def render_html(results: Results, table: Table, before: Results | None = None) -> str:
    """The page, in the language of the results until its reader chooses another; ``before``: what it is compared with."""
    key = Key(table.names("method"), table.names("runtime"))
    environment = _environment(HtmlVoice(results.language))
    pieces = _Pieces(environment)
    panels = _panels(table, key, results.language)
    maps = Markup(environment.get_template("maps.html.jinja").render(coverage=coverage(table)))
    inline = live.inline(table)
    data, packed = live.page_data(results, table), None
    if rest := table.rows[inline:]:
        data = {"packed": live.packed(data)}
        drawn = {panel["index"]: panel["charts"] for panel in panels}
        shown = [pieces.row(row) + pieces.detail(row, "") for row in rest]
        packed = Markup(live.pack(shown, [pieces.cards(row) for row in rest], drawn, maps))
    style = "\n".join([palette.page(), page.source("style.css"), charts.STYLE])
    script = "\n".join(['"use strict";', "(() => {", *(page.source(f"page/{name}.js") for name in SCRIPT), "})();"])
    return environment.get_template("index.html.jinja").render(
        results=results,
        env=results.environment,
        noise=summary.noise(results),
        busy=summary.busy(results),
        languages=LANGUAGES,
        table=table,
        key=key,
        panels=panels,
        costs=_costs(table),
        comparison=before and _comparison(before, results),
        maps=maps,
        columns=COLUMNS,
        all_columns=(*COLUMNS, "spark"),
        shown_columns=live.shown_columns(table),
        baselines=tuple(dict.fromkeys((row.cell.method, row.cell.runtime) for row in table.rows)),
        inline=inline,
        pieces=pieces,
        runtimes=runtimes(table),
        style=Markup(style),
        script=Markup(script),
        script_hash=page.digest(script),
        data=Markup(live.as_script(data)),
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
        "strips": lambda latency: Markup(charts.strips(latency, say.language)),
        "spark": lambda latency: Markup(charts.spark(latency)),
        "tone": tone,
        "effects": effects,
        "change_of_size": comparing.change_of_size,
    }
    environment.globals["ui"] = environment.get_template("macros.html.jinja").module
    return environment


def _panels(table: Table, key: Key, language: str) -> list[dict[str, Any]]:
    """The first glance: for each group with measurements its sentences, its picks and its charts."""
    findings = {finding.group.name: finding for finding in summary.findings(table)}
    return [
        {
            "index": index,
            "group": group,
            "finding": findings.get(group.name),
            "picks": picks.picks(group),
            "charts": {
                cost: Markup(charts.pareto(group, key, language, standalone=False, cost=cost))
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


def tone(row: Row, column: str) -> str:
    """``good``, ``bad`` or nothing: only what an interval shows is coloured."""
    if column in ("cpu_ms", "gpu_ms"):
        return {Verdict.FASTER: "good", Verdict.SLOWER: "bad"}.get(row.verdict or Verdict.TIE, "")
    if column == "quality" and row.quality:
        return {True: "good", False: "bad"}.get(row.quality.better, "") if row.quality.better is not None else ""
    return ""
