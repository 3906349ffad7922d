"""Statistics of the report: pure functions over numbers, each citing its method.

The round (one fresh container) is the unit: samples of one container are not independent, so intervals and verdicts are
built from round medians, on a log scale, where a ratio of two cells is a difference.

Sources:
  Hyndman & Fan 1996, "Sample quantiles in statistical packages" (type 7).
  Conover 1999, "Practical nonparametric statistics", 3.2 (interval of a quantile from order statistics).
  Welch 1947 and Satterthwaite 1946 (two means with unequal variances).
  Schuirmann 1987 (equivalence by two one-sided tests); Holm 1979 (multiple tests).
  Zou & Donner 2008, "Construction of confidence limits about effect measures" (difference from two intervals).
  Press et al. 2007, "Numerical Recipes", 6.4 (incomplete beta function, Lentz's continued fraction).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]

CONFIDENCE = 0.95
#: Smallest effect of interest: a difference in speed below it is called a tie, however significant.
SMALLEST_EFFECT = 0.02
#: Rounds of each cell before a verdict is printed; with fewer there is an interval only.
ROUNDS_FOR_VERDICT = 5


class Verdict(StrEnum):
    """What a comparison of two speeds came to."""

    FASTER = "faster"
    SLOWER = "slower"
    TIE = "tie"
    TOO_NOISY = "too-noisy"


@dataclass(frozen=True)
class Comparison:
    """A cell's speed relative to a baseline's. ``speedup`` above 1: the cell is faster."""

    speedup: float
    interval: Interval | None  # null with fewer than 2 rounds on either side
    p: float | None  # two-sided, of "no difference"
    rounds: int  # of the side that has fewer


def percentile(samples: Sequence[float], q: float) -> float:
    """The ``q``-th percentile (0 to 100) by linear interpolation, type 7. Raises ValueError when empty."""
    if not len(samples):
        raise ValueError("no samples")
    return float(np.percentile(np.asarray(samples, dtype=float), q, method="linear"))


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of positive values. Raises ValueError for none, or one that is not positive."""
    return math.exp(float(np.mean(_logs(values))))


def mode(values: Sequence[float]) -> float:
    """Where most of ``values`` lie: the middle one in the shortest interval that holds a quarter of them, two at least.

    After the shorth, which holds half of them (Andrews et al., Robust Estimates of Location, 1972).
    """
    ordered = sorted(values)
    held = min(len(ordered), max(2, len(ordered) // 4))
    start = min(range(len(ordered) - held + 1), key=lambda at: ordered[at + held - 1] - ordered[at])
    return ordered[start + (held - 1) // 2]


def round_interval(round_medians: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Interval of the geometric mean of round medians: Student's t on their logs. None with fewer than 2 rounds."""
    if len(round_medians) < 2:
        return None
    logs = _logs(round_medians)
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    margin = student_t_quantile((1 + confidence) / 2, len(logs) - 1) * error
    mean = float(np.mean(logs))
    return math.exp(mean - margin), math.exp(mean + margin)


def compare(cell: Sequence[float], baseline: Sequence[float], confidence: float = CONFIDENCE) -> Comparison:
    """Speed of ``cell`` relative to ``baseline``, both given as round medians of a time.

    The estimate is the ratio of the geometric means (with equally many rounds: the geometric mean of the ratios);
    interval and p are Welch's t on the logs with Welch-Satterthwaite degrees of freedom.
    """
    ours, theirs = _logs(cell), _logs(baseline)
    difference = float(np.mean(theirs) - np.mean(ours))
    rounds = min(len(ours), len(theirs))
    if rounds < 2:
        return Comparison(math.exp(difference), None, None, rounds)
    parts = [float(np.var(logs, ddof=1)) / len(logs) for logs in (ours, theirs)]
    error = math.sqrt(sum(parts))
    if error <= 1e-12 * max(1.0, abs(difference)):  # constant rounds: nothing to divide by
        same = math.isclose(difference, 0.0, abs_tol=1e-12)
        return Comparison(math.exp(difference), (math.exp(difference),) * 2, 1.0 if same else 0.0, rounds)
    shares = [part / sum(parts) for part in parts]
    freedom = 1 / sum(share**2 / (len(logs) - 1) for share, logs in zip(shares, (ours, theirs), strict=True))
    margin = student_t_quantile((1 + confidence) / 2, freedom) * error
    p = 2 * student_t_cdf(-abs(difference) / error, freedom)
    return Comparison(math.exp(difference), (math.exp(difference - margin), math.exp(difference + margin)), p, rounds)


def verdict(comparison: Comparison, p: float | None = None, smallest_effect: float = SMALLEST_EFFECT) -> Verdict | None:
    """The word for a comparison; None with fewer than 5 rounds, which carry an interval only.

    ``tie``: the whole interval lies within the smallest effect (two one-sided tests at 2.5 % each, Schuirmann).
    ``faster``, ``slower``: the interval lies beyond 1, the estimate beyond the smallest effect, and ``p`` (give it
    after Holm's correction; by default the comparison's own) is below 5 %. Everything else is ``too-noisy``.
    """
    if comparison.interval is None or comparison.p is None or comparison.rounds < ROUNDS_FOR_VERDICT:
        return None
    low, high = comparison.interval
    bound = 1 + smallest_effect
    if 1 / bound <= low and high <= bound:
        return Verdict.TIE
    if (comparison.p if p is None else p) < 1 - CONFIDENCE:
        if low > 1 and comparison.speedup >= bound:
            return Verdict.FASTER
        if high < 1 and comparison.speedup <= 1 / bound:
            return Verdict.SLOWER
    return Verdict.TOO_NOISY


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down procedure, in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def difference_interval(value: float, interval: Interval, other: float, other_interval: Interval) -> Interval:
    """Interval of ``value - other`` from the interval of each (Zou & Donner).

    It takes the two as independent. Scores of two cells on the same examples are positively correlated, so for them the
    true interval is narrower: "no difference shown" is cautious, "worse" is safe.
    """
    difference = value - other
    low = difference - math.hypot(value - interval[0], other_interval[1] - other)
    high = difference + math.hypot(interval[1] - value, other - other_interval[0])
    return low, high


def student_t_cdf(t: float, df: float) -> float:
    """P(T <= t) of Student's t with ``df`` (real, positive) degrees of freedom."""
    squared = t * t
    if squared <= df:  # the form that keeps its digits near the middle
        middle = incomplete_beta(0.5, df / 2, squared / (df + squared))
        return 0.5 + math.copysign(middle / 2, t)
    tail = incomplete_beta(df / 2, 0.5, df / (df + squared)) / 2
    return tail if t < 0 else 1 - tail


@lru_cache(maxsize=256)  # few numbers of rounds, asked for again after each of them
def student_t_quantile(probability: float, df: float) -> float:
    """The t with ``student_t_cdf(t, df) == probability``, by bisection. ValueError outside (0, 1)."""
    if not 0 < probability < 1:
        raise ValueError(f"a probability between 0 and 1 is needed, got {probability}")
    if probability > 0.5:
        return -_root(lambda t: student_t_cdf(t, df) - (1 - probability))
    return _root(lambda t: student_t_cdf(t, df) - probability)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularized incomplete beta function I_x(a, b) for a, b > 0 (Numerical Recipes 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _beta_fraction(a, b, x) / a
    return 1 - math.exp(log_front) * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function by the modified Lentz method."""
    tiny = 1e-300
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d, tiny)
            c = _away_from_zero(1 + term / c, tiny)
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return fraction


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def _root(function: Callable[[float], float]) -> float:
    """The root, not above 0, of an increasing function."""
    low = -1.0
    while function(low) > 0 and low > -1e300:
        low *= 2
    high = 0.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return middle


def _logs(values: Sequence[float]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if not array.size or not np.all(array > 0):
        raise ValueError("positive values are needed")
    logs: npt.NDArray[np.float64] = np.log(array)
    return logs
