"""What is told on the terminal. No name, reason or log line from outside can move its cursor or hide what stands there."""

from __future__ import annotations

import sys

from harness.untrusted_text import visible


def say(line: str) -> None:
    """Tell the user something, on standard error: standard output is for data."""
    print(visible(line), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print text that a command was asked for, on standard output. Data (JSON, CSV) goes there as it is."""
    print(visible(text), flush=True)
