"""The timed loop: warm up until steady, then sample until the median is precise enough or the budget is spent.

The clock is ``time.perf_counter_ns``. Between two readings of the clock there is the measured call and nothing else; what
that costs by itself is published with the ``null`` runtime. Between samples, now and then, the processor's pace is taken.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from statistics import NormalDist, median, quantiles
from time import perf_counter_ns

from harness.contracts.adapter import Arrays
from harness.worker.pace import EVERY_NS, pace_ns

Timed = Callable[[Arrays], int]  #: runs one call on a batch and returns its wall time, nanoseconds

_Z = NormalDist().inv_cdf(0.975)
_WINDOW = 5
_STEADY = 0.05

#: Enough for a p99; more would only make every record of a microsecond model megabytes large.
MAX_SAMPLES = 2_000


@dataclass(frozen=True)
class Sampling:
    """When to stop: at least ``min_samples`` *and* ``min_seconds``, then precision or the budget, whichever is first."""

    min_samples: int = 30
    min_seconds: float = 1.0
    max_seconds: float = 10.0
    precision: float = 0.01


@dataclass
class Samples:
    """What the loop saw, in order: the first call after the warm-up, and from there every ``every``-th."""

    nanoseconds: list[int] = field(default_factory=list)
    every: int = 1
    calls: int = 0
    warmup_calls: int = 0
    ended_by: str = "budget"
    pace_ns: list[float] = field(default_factory=list)  #: quartiles of all looks at it


def collect(timed: Timed, batches: Sequence[Arrays], sampling: Sampling) -> Samples:
    """Warm up, then sample ``timed`` over the rotated ``batches``."""
    with _quiet_gc():
        samples = Samples(warmup_calls=_warm_up(timed, batches, sampling.max_seconds / 4))
        paces: list[int] = []
        _sample(_paced(timed, paces), batches, sampling, samples)
    samples.pace_ns = quantiles(paces, n=4, method="inclusive") if len(paces) > 1 else 3 * [float(paces[0])]
    return samples


def _paced(timed: Timed, paces: list[int]) -> Timed:
    """``timed``, with a look at the pace after the first call, and from then on whenever it is time for the next."""
    due = 0

    def call(batch: Arrays) -> int:
        nonlocal due
        elapsed = timed(batch)
        if perf_counter_ns() >= due:
            paces.append(pace_ns())
            due = perf_counter_ns() + EVERY_NS
        return elapsed

    return call


def _warm_up(timed: Timed, batches: Sequence[Arrays], budget_s: float) -> int:
    """Call until two neighbouring windows of five calls have medians within 5 %, or the budget is spent."""
    seen: list[int] = []
    deadline = perf_counter_ns() + int(budget_s * 1e9)
    while perf_counter_ns() < deadline:
        seen.append(timed(batches[len(seen) % len(batches)]))
        if len(seen) >= 2 * _WINDOW:
            before, last = median(seen[-2 * _WINDOW : -_WINDOW]), median(seen[-_WINDOW:])
            if abs(last - before) <= _STEADY * before:
                break
    return len(seen)


def _sample(timed: Timed, batches: Sequence[Arrays], sampling: Sampling, samples: Samples) -> None:
    """Call until it is time to stop. More than ``MAX_SAMPLES`` are thinned, evenly over the whole time."""
    taken = samples.nanoseconds
    thinning = next(n for n in count(2) if math.gcd(n, len(batches)) == 1)  # what is kept visits every batch alike
    most = max(MAX_SAMPLES, thinning * sampling.min_samples)
    start = perf_counter_ns()
    earliest = start + int(sampling.min_seconds * 1e9)
    deadline = start + int(sampling.max_seconds * 1e9)
    next_check = sampling.min_samples
    while True:
        elapsed = timed(batches[samples.calls % len(batches)])
        if samples.calls % samples.every == 0:
            taken.append(elapsed)
        samples.calls += 1
        now = perf_counter_ns()
        if len(taken) < next_check:
            # The minimum number of samples is kept even beyond the budget, unless a single call takes very long.
            if now < deadline or len(taken) < min(sampling.min_samples, 5):
                continue
            return
        if now >= earliest:
            if relative_half_width(taken) <= sampling.precision:
                samples.ended_by = "precision"
                return
            if now >= deadline:
                return
            # Sorting costs more the more samples there are: look again only after a tenth more of them.
            next_check = min(most, len(taken) + max(1, len(taken) // 10))
        if len(taken) >= most:
            taken[:] = taken[::thinning]
            samples.every *= thinning
            next_check = len(taken)


def relative_half_width(samples: Sequence[int]) -> float:
    """Half the width of the 95 % interval of the median, over the median.

    Distribution-free, from order statistics with the normal approximation to the binomial
    (W. J. Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2). Infinite below six samples, where no
    such interval has 95 % coverage.
    """
    n = len(samples)
    if n < 6:
        return math.inf
    ordered = sorted(samples)
    reach = _Z * math.sqrt(n) / 2
    low = ordered[max(0, math.floor(n / 2 - reach))]
    high = ordered[min(n - 1, math.ceil(n / 2 + reach))]
    return (high - low) / 2 / max(median(ordered), 1)


@contextmanager
def _quiet_gc() -> Iterator[None]:
    """Keep Python's collector from running inside a timed call."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
