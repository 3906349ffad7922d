"""The report as one HTML file: no network, nothing run but its own script, every string from outside escaped."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report import charts, live, numbers, palette, picks, summary
from harness.report import compare as comparing
from harness.report.charts import COSTS, Key
from harness.report.coverage import coverage
from harness.report.effects import effects
from harness.report.runtimes import runtimes
from harness.report.table import COLUMNS, Row, Table
from harness.report.text import one_line, visible
from harness.report.words import HtmlVoice
from harness.results import Results, Status
from harness.stats import Verdict

TEMPLATES = Path(__file__).parent / "templates"

#: The script, part by part; each is functions and classes, the last one begins.
SCRIPT = ("words", "numbers", "stats", "state", "rows", "table", "picks", "charts", "panels", "cell", "export", "main")

LANGUAGES = {"en": "English", "ru": "Русский"}

#: Glyphs beside the words of statuses, so that neither colour nor language is needed.
GLYPHS = {Status.OK: "✓", Status.DIVERGED: "!", Status.UNSUPPORTED: "○", Status.SKIPPED: "–"}
FAILED = "✕"


def render_html(results: Results, table: Table, before: Results | None = None) -> str:
    """The page, in the language of the results until its reader chooses another; ``before``: what it is compared with."""
    say = HtmlVoice(results.language)
    key = Key(table.names("method"), table.names("runtime"))
    environment = _environment(say)
    row, cards = environment.get_template("row.html.jinja"), environment.get_template("cards.html.jinja")
    detail = environment.get_template("detail.html.jinja")

    def row_markup(each: Row) -> str:
        return Markup(row.render(row=each))

    def cards_markup(each: Row) -> str:
        return Markup(cards.render(row=each, cell=each.cell))

    def detail_markup(each: Row, content: str = "") -> str:
        return Markup(detail.render(row=each, cards=content))

    inline = live.inline(table)
    rest = table.rows[inline:]
    panels = _panels(table, key, results.language)
    maps = Markup(environment.get_template("maps.html.jinja").render(coverage=coverage(table)))
    data: dict[str, Any] = live.page_data(results, table)
    packed = None
    if rest:
        data = {"packed": live.packed(data)}
        drawn = {panel["index"]: panel["charts"] for panel in panels}
        shown = [row_markup(each) + detail_markup(each) for each in rest]
        packed = Markup(live.pack(shown, [cards_markup(each) for each in rest], drawn, maps))
    style = "\n".join([palette.page(), _source("style.css"), charts.STYLE])
    script = "\n".join(['"use strict";', "(() => {", *(_source(f"page/{name}.js") for name in SCRIPT), "})();"])
    return environment.get_template("index.html.jinja").render(
        results=results,
        env=results.environment,
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
        row_markup=row_markup,
        detail_markup=lambda each: detail_markup(each, cards_markup(each)),
        runtimes=runtimes(table),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(live.as_script(data)),
        packed=packed,
        baseline=" ".join(results.baseline[name] for name in ("runtime", "method") if name in results.baseline),
    )


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8").strip()


def _environment(say: HtmlVoice) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "number": numbers.number,
        "margin": numbers.margin,
        "bracket": numbers.bracket,
        "megabytes": numbers.megabytes,
        "difference": numbers.difference,
        "line": one_line,
        "pairs": lambda values: ", ".join(f"{name} = {value}" for name, value in values.items()),
    }
    environment.globals |= {
        "say": say,
        "numbers": numbers,
        "summary": summary,
        "swatch": lambda colour, shape: Markup(charts.swatch(colour, shape)),
        "strips": lambda latency: Markup(charts.strips(latency, say.language)),
        "spark": lambda latency: Markup(charts.spark(latency)),
        "glyph": lambda status: GLYPHS.get(status, FAILED),
        "tone": tone,
        "effects": effects,
        "change_of_size": comparing.change_of_size,
    }
    environment.globals["ui"] = environment.get_template("macros.html.jinja").module
    return environment


def _shown(value: Any) -> Any:
    """What an expression prints: control and direction marks are written out, also inside finished markup."""
    return type(value)(visible(value)) if isinstance(value, str) else value


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
