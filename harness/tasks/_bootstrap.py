"""Scores with their intervals: the percentile bootstrap over examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.contracts.task import Measured, MetricFunction, Score

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
SEED = 0


def of_sums(function: Callable[[Floats], Floats]) -> MetricFunction:
    """A metric that is a function of the sums of the tallies, [resamples, k] -> [resamples]: F1, perplexity, error rates."""
    return lambda times, tallies: function(times @ tallies)


def ratio(over: Floats, under: Floats) -> Floats:
    """The quotient, 0 where the divisor is not positive."""
    quotient: Floats = np.divide(over, under, out=np.zeros_like(over), where=under > 0)
    return quotient


def scored(tallies: Floats, metrics: Mapping[str, MetricFunction]) -> Score:
    """Every metric of all examples, with its interval; ``tallies`` are [examples, k]."""
    once = np.ones((1, len(tallies)))
    measured = {
        name: Measured(float(metric(once, tallies)[0]), interval(tallies, metric)) for name, metric in metrics.items()
    }
    return Score(measured, tallies.tolist())


def interval(tallies: Floats, metric: MetricFunction) -> tuple[float, float] | None:
    """The 95 % interval of ``metric`` under resampling of whole examples (sentences, windows, images).

    The metric is computed anew for each resample. None with fewer than 2 examples; where all agree, it has no width.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile intervals).
    """
    examples = len(tallies)
    if examples < 2:
        return None
    low, high = np.quantile(metric(_times(examples), tallies), (0.025, 0.975))
    return float(low), float(high)


def paired(ours: Floats, theirs: Floats, metric: MetricFunction) -> tuple[float, float] | None:
    """The 95 % interval of ``metric`` of ours minus that of theirs, on the same examples; arguments as of ``interval``.

    Each resample takes the same examples for both, so what makes an example hard for both cancels out.
    Source: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation (paired bootstrap).
    """
    examples = len(ours)
    if examples < 2:
        return None
    times = _times(examples)
    low, high = np.quantile(metric(times, ours) - metric(times, theirs), (0.025, 0.975))
    return float(low), float(high)


@lru_cache(maxsize=4)  # the cells of a model are scored on as many examples, and drawing takes most of the time
def _times(examples: int) -> Floats:
    """How often each resample takes each example: drawing n with replacement is one multinomial draw."""
    draws = np.random.default_rng(SEED).multinomial(examples, np.full(examples, 1 / examples), size=RESAMPLES)
    return draws.astype(np.float64)
