"""The pace of the processor: how long a fixed piece of work takes right now.

A virtual processor is often one hardware thread of a core whose other thread works for somebody else. Then all takes longer and
no counter of the machine tells: nothing is stolen, nothing is throttled, the clock stays. Only work of a known amount shows it.
"""

from __future__ import annotations

from time import perf_counter_ns

#: The shortest time between two looks: they take about one fiftieth of the time between the first and the last sample.
EVERY_NS = 5_000_000

_STEPS = 1_000  # about 0.1 ms
#: Untimed: what ran before has left caches and branch predictors cold, and how cold depends on the runtime.
_LEAD_IN = 200


def pace_ns() -> int:
    """Wall time of a fixed loop of integer arithmetic, in this thread, nanoseconds."""
    _work(_LEAD_IN)
    start = perf_counter_ns()
    _work(_STEPS)
    return perf_counter_ns() - start


def _work(steps: int) -> None:
    """A linear congruential generator: no step can be left out."""
    state = 1
    for _ in range(steps):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
