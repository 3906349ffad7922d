"""The percentile bootstrap, for metrics that are a function of sums over examples."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
SEED = 0


def interval(statistics: Floats, metric: Callable[[Floats], Floats]) -> tuple[float, float] | None:
    """The 95 % interval of ``metric`` under resampling of examples.

    ``statistics`` [examples, k] holds what each example adds to the sums; ``metric`` maps sums [resamples, k] to values
    [resamples]. Accuracy, F1 and perplexity are all of this kind, so whole examples (sentences, windows) are resampled
    and the metric is computed anew. None with fewer than 2 examples. Where all examples agree, it has no width.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile intervals).
    """
    examples = len(statistics)
    if examples < 2:
        return None
    low, high = np.quantile(metric(_times(examples) @ statistics), (0.025, 0.975))
    return float(low), float(high)


def paired(ours: Floats, theirs: Floats, metric: Callable[[Floats], Floats]) -> tuple[float, float] | None:
    """The 95 % interval of ``metric`` of ours minus that of theirs, on the same examples; arguments as of ``interval``.

    Each resample takes the same examples for both, so what makes an example hard for both cancels out.
    Source: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation (paired bootstrap).
    """
    examples = len(ours)
    if examples < 2:
        return None
    times = _times(examples)
    low, high = np.quantile(metric(times @ ours) - metric(times @ theirs), (0.025, 0.975))
    return float(low), float(high)


@lru_cache(maxsize=4)  # the cells of a model are scored on as many examples, and drawing takes most of the time
def _times(examples: int) -> Floats:
    """How often each resample takes each example: drawing n with replacement is one multinomial draw."""
    draws = np.random.default_rng(SEED).multinomial(examples, np.full(examples, 1 / examples), size=RESAMPLES)
    return draws.astype(np.float64)
