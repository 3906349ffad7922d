"""Ratios and differences as messages: what stands in small figures below a number, and inside sentences."""

from __future__ import annotations

from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.stats import Comparison, Interval, Verdict


def quality_word(interval: Interval | None, better: bool | None) -> str:
    """What a difference of quality shows: ``same``, ``better``, ``worse`` or ``unknown``."""
    if interval is None:
        return "unknown"
    return {True: "better", False: "worse", None: "same"}[better]


def speed_words(speed: Comparison | None, verdict: Verdict | None) -> Message | None:
    """A speed against another's: the ratio with its interval and the verdict's word; None without one."""
    if speed is None:
        return None
    text = ratio(speed, turned=verdict is Verdict.SLOWER)
    return Message.of(f"speed.{verdict or 'few'}", speed=text)


def ratio_words(ratio_: float | None, smaller: str, larger: str) -> Message | None:
    """A size or memory ratio in words: ``3.9× smaller``; within 1 % it is the same."""
    if ratio_ is None:
        return None
    if abs(ratio_ - 1) < 0.01:
        return Message("ratio.same", {})
    text = numbers.ratio(ratio_ if ratio_ > 1 else 1 / ratio_)
    return Message.of(f"ratio.{smaller if ratio_ > 1 else larger}", ratio=text)


def ratio(speed: Comparison, *, turned: bool = False) -> str:
    """A speed-up with its interval; ``turned``: as how many times slower."""
    if not turned:
        return numbers.ratio(speed.speedup, speed.interval)
    interval = (1 / speed.interval[1], 1 / speed.interval[0]) if speed.interval else None
    return numbers.ratio(1 / speed.speedup, interval)
