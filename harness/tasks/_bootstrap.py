"""The percentile bootstrap, for metrics that are a function of sums over examples."""

from __future__ import annotations

from collections.abc import Callable

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
    # Drawing n examples with replacement is one multinomial draw of how often each was taken.
    times = np.random.default_rng(SEED).multinomial(examples, np.full(examples, 1 / examples), size=RESAMPLES)
    low, high = np.quantile(metric(times @ statistics), (0.025, 0.975))
    return float(low), float(high)
