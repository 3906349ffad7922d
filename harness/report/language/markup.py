"""Text from outside in Markdown: shown as it is, read as nothing else."""

from __future__ import annotations

import re

from harness.untrusted_text import one_line

LONGEST = 200  # characters of a reason or a name in a table cell


def shorten(text: str) -> str:
    """At most ``LONGEST`` characters, on one line."""
    line = one_line(text)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def escape(text: str) -> str:
    """Text from outside that Markdown and HTML show as it is, also inside a table cell."""
    return literal(one_line(text))


def literal(line: str) -> str:
    """One line without anything that Markdown or HTML would read as markup; its spaces stay what they are."""
    marked = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", marked)


def fence(text: str) -> str:
    """A code block whose fence is longer than any inside it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    lines = "\n".join(one_line(line) if not line.isprintable() else line for line in text.splitlines())
    return f"{ticks}\n{lines}\n{ticks}"
