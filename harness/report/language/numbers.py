"""How numbers are written, the same in every output. Never more digits than the interval knows.

The decimal point stays a point in every language, so that the HTML, Markdown and CSV of one run hold the same numbers.
"""

from __future__ import annotations

import math

from harness.stats import Interval

DASH = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
NBSP = "\N{NO-BREAK SPACE}"
THIN = "\N{NARROW NO-BREAK SPACE}"
TIMES = "\N{MULTIPLICATION SIGN}"
NOT_A_NUMBER = "NaN"
INFINITY = "\N{INFINITY}"

#: Significant digits of a number that comes without an interval.
DIGITS = 3
MOST_DIGITS = 6


def decimals(value: float, interval: Interval | None = None) -> int:
    """Decimals worth printing: those of half the interval to one significant digit (two where the first is a 1).

    Without an interval, or with one of no or endless width: 3 significant digits of the value; never more than 6.
    """
    half = half_width(value, interval) if interval else 0.0
    if not 0 < half < math.inf:
        return _decimals(value, DIGITS)
    known = _decimals(half, 2 if f"{half:.1e}".startswith("1") else 1)
    return min(known, _decimals(value, MOST_DIGITS)) if abs(value) > half else known


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value and math.isfinite(value) else 0


def half_width(value: float, interval: Interval) -> float:
    """The longer arm of an interval."""
    return max(value - interval[0], interval[1] - value)


def fixed(value: float, places: int, *, signed: bool = False) -> str:
    """``value`` with ``places`` decimals, a true minus sign, and groups of three digits from 10 000 up."""
    if math.isnan(value):
        return NOT_A_NUMBER
    if math.isinf(value):
        return (MINUS if value < 0 else "+" if signed else "") + INFINITY
    text = f"{abs(value):,.{places}f}".replace(",", THIN if abs(value) >= 10_000 else "")
    negative = value < 0 and float(f"{abs(value):.{places}f}") != 0
    return (MINUS if negative else "+" if signed and float(f"{abs(value):.{places}f}") else "") + text


def number(value: float | None, interval: Interval | None = None) -> str:
    """A bare number, rounded to what its interval knows."""
    return DASH if value is None else fixed(value, decimals(value, interval))


def margin(value: float, interval: Interval | None) -> str:
    """``± 0.3``, to the same decimals as ``number`` prints; empty without an interval."""
    if interval is None:
        return ""
    return f"±{THIN}{fixed(half_width(value, interval), decimals(value, interval))}"


def measured(value: float, interval: Interval | None) -> str:
    """``21.6 ± 0.2``: a number with its margin; bare without an interval."""
    return f"{number(value, interval)} {margin(value, interval)}".strip()


def bracket(value: float, interval: Interval, *, signed: bool = False) -> str:
    """``[1.9, 2.3]``, to the same decimals as the value it belongs to."""
    return _bracket(interval, decimals(value, interval), signed=signed)


def _bracket(interval: Interval, places: int, *, signed: bool = False) -> str:
    low, high = (fixed(end, places, signed=signed) for end in interval)
    return f"[{low},{NBSP}{high}]"  # never broken over two lines


def ratio(value: float, interval: Interval | None = None) -> str:
    """``2.1× [1.9, 2.3]``; without an interval two significant digits, and two decimals near 1: ``1.04×``."""
    if interval is None:
        return f"{fixed(value, max(2 if abs(value - 1) < 0.1 else 1, _decimals(value, 2)))}{TIMES}"
    places = min(decimals(value, interval), max(2, _decimals(value, DIGITS)))
    return f"{fixed(value, places)}{TIMES} {_bracket(interval, places)}"


def difference(value: float, interval: Interval | None = None) -> str:
    """``−0.004 [−0.010, +0.002]``."""
    places = decimals(value, interval)
    text = fixed(value, places, signed=True)
    return f"{text} {_bracket(interval, places, signed=True)}" if interval else text


def megabytes(size_bytes: int | None) -> str:
    """Megabytes of 10^6 bytes."""
    return DASH if size_bytes is None else number(size_bytes / 1e6)


def finite(value: float | None) -> bool:
    """Whether something can be computed with a value: it is there, and neither NaN nor infinite."""
    return value is not None and math.isfinite(value)


def finite_interval(interval: Interval | None) -> Interval | None:
    """The interval, or None where an end is not finite: such an interval bounds nothing."""
    return interval if interval and finite(interval[0]) and finite(interval[1]) else None
