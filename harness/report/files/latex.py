"""Tables in LaTeX, in the style of the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.report.language import numbers

#: What LaTeX reads as more than a letter, and the marks that ``numbers.py`` writes, which not every font has. Braces keep
#: quotes from joining into other signs, and ``[`` or ``*`` from being an argument of the row's end before it.
WRITTEN = {
    "\\": r"\textbackslash{}",
    **{letter: rf"\{letter}" for letter in "{}%_&#$"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    **{letter: f"{{{letter}}}" for letter in "`'[]*"},
    "…": r"\ldots{}",
    "·": r"\textperiodcentered{}",
    "†": r"\textdagger{}",
    "±": r"$\pm$",
    numbers.TIMES: r"$\times$",
    numbers.MINUS: "$-$",
    numbers.DASH: "---",
    numbers.THIN: r"\,",
    numbers.NBSP: "~",
}
_TABLE = str.maketrans(WRITTEN)
#: Between two dashes or commas, which LaTeX would join into a longer dash or a quote.
_BETWEEN = re.compile(f"(?<=[-{numbers.DASH},])(?=[-{numbers.DASH},])")


@dataclass(frozen=True)
class Part:
    """Rows below a heading of their own; all is LaTeX already."""

    heading: str
    rows: Sequence[Sequence[str]]


def escape(line: str) -> str:
    """One line of visible text (see ``text.one_line``) as LaTeX that prints it and does nothing else."""
    return "{}".join(part.translate(_TABLE) for part in _BETWEEN.split(line))


def tabular(caption: str, label: str, alignment: str, headings: Sequence[str], parts: Sequence[Part]) -> str:
    """A floating table of ``parts`` with a rule between them. ``alignment`` has a letter a column; all is LaTeX already."""
    return "\n".join(_lines(caption, label, alignment, headings, parts)) + "\n"


def _lines(caption: str, label: str, alignment: str, headings: Sequence[str], parts: Sequence[Part]) -> Iterator[str]:
    yield r"% Needs \usepackage{booktabs}; for other than Latin letters XeLaTeX or LuaLaTeX, and a font that has them."
    yield from (r"\begin{table}", r"\centering\small", rf"\caption{{{caption}}}", rf"\label{{tab:{label}}}")
    yield rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}"
    yield r"\toprule"
    yield _row(headings)
    for part in parts:
        yield r"\midrule"
        yield rf"\multicolumn{{{len(headings)}}}{{@{{}}l@{{}}}}{{{part.heading}}} \\"
        yield from map(_row, part.rows)
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def _row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"
