"""Progress for people and programs: ``tty`` (a live bar), ``plain`` (a line per finished step), ``json`` (an object per event).

Everything goes to standard error. While a step is measured nothing is repainted: a display that redraws ten times a second
is work on the machine under test.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Literal, Protocol

from harness import terminal
from harness.matrix.plan import Step
from harness.untrusted_text import one_line, visible

Kind = Literal["auto", "tty", "plain", "json"]

_PLAIN_PERIOD_S = 20.0


class Progress(Protocol):
    """What the run tells of itself, as it happens."""

    def begin(self, steps: int, seconds: float) -> None:
        """A run of that many steps begins; ``seconds`` is the estimate for all."""

    def step(self, step: Step) -> None:
        """A step begins."""

    def inside(self, subject: str, fraction: float | None, message: str) -> None:
        """A step (by its title) or an image is that far; never called while measuring."""

    def done(self, step: Step, status: str, seconds: float, remaining_s: float, reason: str | None) -> None:
        """A step has ended."""

    def say(self, message: str) -> None:
        """Anything else worth a line."""

    def end(self) -> None:
        """The run is over."""


def make(kind: Kind) -> Progress:
    """The renderer; ``auto`` takes ``tty`` on a terminal that is not a CI's, else ``plain``."""
    if kind == "auto":
        terminal = sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
        kind = "tty" if terminal else "plain"
    renderers: dict[str, type[Progress]] = {"tty": Tty, "plain": Plain, "json": Json}
    return renderers[kind]()


def duration(seconds: float) -> str:
    """``8 s``, ``4 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _so_far(subject: str, fraction: float | None, message: str) -> str:
    return f"{subject}: {'' if fraction is None else f'{fraction:.0%} '}{message}"


class Plain:
    """One line per finished step, for logs and pipes."""

    def __init__(self) -> None:
        self._total = self._count = 0
        self._last = 0.0

    def begin(self, steps: int, seconds: float) -> None:
        """Say how much there is to do."""
        self._total, self._count = steps, 0
        self.say(f"{steps} steps to run, about {duration(seconds)}")

    def step(self, step: Step) -> None:
        """Nothing yet: the line comes when the step has ended."""
        self._last = time.monotonic()

    def inside(self, subject: str, fraction: float | None, message: str) -> None:
        """Show that something long is alive, every 20 s."""
        if time.monotonic() - self._last > _PLAIN_PERIOD_S:
            self._last = time.monotonic()
            self.say(f"    {_so_far(subject, fraction, message)}")

    def done(self, step: Step, status: str, seconds: float, remaining_s: float, reason: str | None) -> None:
        """The step's line."""
        self._count += 1
        rest = f", about {duration(remaining_s)} left" if remaining_s else ""
        why = f": {reason}" if reason else ""
        self.say(f"[{self._count}/{self._total}] {status:<4} {step.title} ({duration(seconds)}{rest}){why}")

    def say(self, message: str) -> None:
        """A line."""
        terminal.say(message)

    def end(self) -> None:
        """Nothing to tidy."""


class Json:
    """One JSON object per event."""

    def begin(self, steps: int, seconds: float) -> None:
        """``begin``."""
        self._emit("begin", steps=steps, estimate_s=round(seconds, 1))

    def step(self, step: Step) -> None:
        """``step``."""
        self._emit("step", key=step.key, kind=step.kind, title=step.title)

    def inside(self, subject: str, fraction: float | None, message: str) -> None:
        """``inside``."""
        self._emit("inside", subject=subject, fraction=fraction, message=message)

    def done(self, step: Step, status: str, seconds: float, remaining_s: float, reason: str | None) -> None:
        """``done``."""
        self._emit("done", key=step.key, status=status, seconds=seconds, remaining_s=remaining_s, reason=reason)

    def say(self, message: str) -> None:
        """``message``."""
        self._emit("message", text=message)

    def end(self) -> None:
        """``end``."""
        self._emit("end")

    def _emit(self, event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)


class Tty:
    """A live bar that stands still while measuring."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        # Neither markup nor emoji: a title such as `[/weights]` is text.
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        columns = (
            BarColumn(30),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[rest]}", markup=False),
        )
        # No refresh thread: the bar is painted when something has happened, and not at all inside a measurement.
        self._bar = Progress(*columns, console=self._console, auto_refresh=False)
        self._task: Any = None
        self._last = 0.0

    def begin(self, steps: int, seconds: float) -> None:
        """Show the bar, in place of that of an earlier run."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._bar.start()
        self._task = self._bar.add_task("", total=steps, rest=f"about {duration(seconds)}")

    def step(self, step: Step) -> None:
        """Name what runs."""
        self._paint(step.title + (" (the display rests while measuring)" if step.measures else ""))

    def inside(self, subject: str, fraction: float | None, message: str) -> None:
        """At most once a second."""
        if self._task is not None and time.monotonic() - self._last > 1:
            self._paint(_so_far(subject, fraction, message)[:120])

    def done(self, step: Step, status: str, seconds: float, remaining_s: float, reason: str | None) -> None:
        """Advance; a failure leaves a line."""
        from rich.text import Text

        if reason:
            self._console.print(Text(status, "red"), visible(f"{step.title}: {reason}"))
        self._bar.update(self._task, advance=1, rest=f"about {duration(remaining_s)} left")
        self._bar.refresh()

    def say(self, message: str) -> None:
        """A line above the bar."""
        self._console.print(visible(message))

    def end(self) -> None:
        """Take the bar down."""
        self._bar.stop()

    def _paint(self, description: str) -> None:
        self._last = time.monotonic()
        self._bar.update(self._task, description=one_line(description))
        self._bar.refresh()
