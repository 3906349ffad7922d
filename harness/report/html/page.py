"""What the report's page and the history's are both made with: one file each, in which everything from outside is escaped."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.results import Status
from harness.untrusted_text import date, one_line, visible

TEMPLATES = Path(__file__).parent / "templates"

#: Glyphs beside the words of statuses, so that neither colour nor language is needed.
_GLYPHS = {Status.OK: "✓", Status.DIVERGED: "!", Status.UNSUPPORTED: "○", Status.SKIPPED: "–"}
_FAILED = "✕"


def environment() -> Environment:
    """Templates in which every string from outside is escaped and shows what it hides."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {"line": one_line, "date": date}
    made.globals["glyph"] = lambda status: _GLYPHS.get(status, _FAILED)
    return made


def source(name: str) -> str:
    """A style sheet or a part of the script."""
    return (TEMPLATES / name).read_text("utf-8").strip()


def digest(text: str) -> str:
    """What a Content-Security-Policy knows an element by: its SHA-256."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shown(value: Any) -> Any:
    """What an expression prints: control and direction marks are written out, also inside finished markup."""
    return type(value)(visible(value)) if isinstance(value, str) else value
