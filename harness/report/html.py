"""The report as one HTML file: no network, nothing run but its own script, every string from outside escaped."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report import charts, numbers, palette, summary
from harness.report.charts import Key
from harness.report.effects import effects
from harness.report.runtimes import runtimes
from harness.report.table import COLUMNS, Row, Table, zstd_bytes
from harness.report.text import visible
from harness.report.words import HtmlVoice
from harness.results import Results, Status
from harness.stats import Verdict

TEMPLATES = Path(__file__).parent / "templates"

#: Glyphs beside the words of statuses, so that neither colour nor language is needed.
GLYPHS = {Status.OK: "✓", Status.DIVERGED: "!", Status.UNSUPPORTED: "○", Status.SKIPPED: "–"}
FAILED = "✕"


def render_html(results: Results, table: Table) -> str:
    """The page in the language of the results."""
    say = HtmlVoice(results.language)
    key = Key(table.names("method"), table.names("runtime"))
    style = "\n".join([palette.page(), _source("style.css"), charts.STYLE])
    script = _source("script.js")
    return (
        _environment(say)
        .get_template("index.html.jinja")
        .render(
            results=results,
            table=table,
            key=key,
            panels=_panels(table, key, say),
            columns=COLUMNS,
            runtimes=runtimes(table),
            style=Markup(style),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            baseline=" ".join(results.baseline[name] for name in ("runtime", "method") if name in results.baseline),
        )
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
        "pairs": lambda values: ", ".join(f"{name} = {value}" for name, value in values.items()),
    }
    environment.globals |= {
        "say": say,
        "numbers": numbers,
        "summary": summary,
        "swatch": lambda colour, shape: Markup(charts.swatch(colour, shape)),
        "strips": lambda latency: Markup(charts.strips(latency, say)),
        "glyph": lambda status: GLYPHS.get(status, FAILED),
        "sort_values": sort_values,
        "tone": tone,
        "effects": effects,
    }
    return environment


def _shown(value: Any) -> Any:
    """What an expression prints: control and direction marks are written out, also inside finished markup."""
    return type(value)(visible(value)) if isinstance(value, str) else value


def _panels(table: Table, key: Key, say: HtmlVoice) -> list[dict[str, Any]]:
    """The first glance: for each group with measurements its sentences and its chart."""
    findings = {finding.group.name: finding for finding in summary.findings(table)}
    return [
        {
            "group": group,
            "finding": findings.get(group.name),
            "chart": Markup(charts.pareto(group, key, say, standalone=False)) if charts.plotted(group) else None,
        }
        for group in table.groups
        if group.measured
    ]


def sort_values(row: Row) -> dict[str, float | None]:
    """The raw numbers that columns are sorted by; rows without one come last in both directions."""
    cell = row.cell
    return {
        "weights": cell.weights_bytes,
        "zstd": zstd_bytes(cell),
        "cpu_ms": row.latency_on("cpu"),
        "gpu_ms": cell.latency_ms.p50 if cell.latency_ms and cell.device != "cpu" else None,
        "ram": cell.ram_bytes,
        "vram": cell.vram_bytes,
        "quality": cell.quality.value if cell.quality else None,
    }


def tone(row: Row, column: str) -> str:
    """``good``, ``bad`` or nothing: only what an interval shows is coloured."""
    if column in ("cpu_ms", "gpu_ms"):
        return {Verdict.FASTER: "good", Verdict.SLOWER: "bad"}.get(row.verdict or Verdict.TIE, "")
    if column == "quality" and row.quality:
        return {True: "good", False: "bad"}.get(row.quality.better, "") if row.quality.better is not None else ""
    return ""
