"""The worker: when it stops, what it counts as memory, when it calls a round noisy, and how it is used by hand."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.contracts.record import NoiseRecord
from harness.worker import loop
from harness.worker.environment import Snapshot, noise_between, verdict, versions
from harness.worker.loop import MAX_SAMPLES, Sampling, collect, relative_half_width
from harness.worker.pace import EVERY_NS, pace_ns

ROOT = Path(__file__).parents[3]
BATCHES = [{"x": np.array([number])} for number in range(8)]
MIB = 2**20


# --- the loop ----------------------------------------------------------------------------------------------------------


def steady(nanoseconds: int = 1000) -> Callable[[Any], int]:
    return lambda batch: nanoseconds


def unsteady() -> Callable[[Any], int]:
    """Every other call takes a hundred times as long: the median lies anywhere between, no precision is ever reached."""
    times = cycle([1000, 100_000])

    def call(batch: Any) -> int:
        time.sleep(1e-4)
        return next(times)

    return call


def test_a_steady_call_ends_by_precision() -> None:
    assert collect(steady(), BATCHES, Sampling(30, 0.0, 5.0, 0.01)).ended_by == "precision"


def test_a_call_that_never_settles_ends_by_budget() -> None:
    assert collect(unsteady(), BATCHES, Sampling(30, 0.0, 0.1, 0.01)).ended_by == "budget"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The looks at the pace that the loop takes: 10, 11, 12... nanoseconds."""
    taken: list[int] = []

    def look() -> int:
        taken.append(10 + len(taken))
        return taken[-1]

    monkeypatch.setattr(loop, "pace_ns", look)
    return taken


def test_the_pace_is_taken_between_calls_and_seldom(looks: list[int]) -> None:
    samples = collect(unsteady(), BATCHES, Sampling(30, 0.0, 0.1, 0.01))
    assert set(samples.nanoseconds) == {1000, 100_000}
    assert 1 <= len(looks) <= 0.1 / (EVERY_NS / 1e9) + 2  # the last call may outlast the budget
    assert samples.pace_ns == pytest.approx([np.percentile(looks, share) for share in (25, 50, 75)])


def test_the_pace_is_taken_after_every_slow_call(looks: list[int]) -> None:
    def call(batch: Any) -> int:
        time.sleep(1.2 * EVERY_NS / 1e9)
        return 1000

    samples = collect(call, BATCHES, Sampling(5, 0.0, 0.05, 0.01))
    assert len(looks) == samples.calls


def test_the_fixed_loop_is_timed() -> None:
    assert 0 < pace_ns() < 1e9


@pytest.mark.parametrize("number_of_batches", [1, 2, 3, 6, 8])
def test_calls_of_microseconds_are_thinned_evenly_over_the_time_and_the_inputs(number_of_batches: int) -> None:
    seen: list[int] = []

    def call(batch: Any) -> int:
        seen.append(int(batch["x"][0]))
        return len(seen)  # so that a sample tells which call it was

    samples = collect(call, BATCHES[:number_of_batches], Sampling(30, 0.1, 0.2, 1e-9))
    kept = range(samples.warmup_calls + 1, len(seen) + 1, samples.every)
    assert samples.nanoseconds == list(kept)
    assert samples.calls == len(seen) - samples.warmup_calls > MAX_SAMPLES >= len(kept)
    counts = Counter(seen[call - 1] for call in kept)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_samples_that_are_asked_for_outlast_thinning() -> None:
    samples = collect(steady(), BATCHES, Sampling(3_000, 0.1, 0.2, 1e-9))
    assert len(samples.nanoseconds) >= 3_000


def test_the_budget_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the calls move, so that no other work of the machine counts."""
    now, call = 0, unsteady()

    def timed(batch: Any) -> int:
        nonlocal now
        now += 1_000_000
        return call(batch)

    monkeypatch.setattr(loop, "perf_counter_ns", lambda: now)
    collect(timed, BATCHES, Sampling(30, 0.0, 0.2, 0.01))
    assert now <= (0.2 * 1.25 + 0.002) * 1e9  # warm-up takes a quarter of the budget at most


def test_there_are_at_least_the_samples_that_are_asked_for() -> None:
    assert len(collect(steady(), BATCHES, Sampling(123, 0.0, 5.0, 0.5)).nanoseconds) >= 123


def test_sampling_lasts_as_long_as_is_asked_for() -> None:
    def call(batch: Any) -> int:
        time.sleep(1e-3)
        return 1000

    start = time.perf_counter()
    collect(call, BATCHES, Sampling(30, 0.2, 5.0, 0.5))
    assert time.perf_counter() - start >= 0.2


def test_a_very_slow_call_is_sampled_five_times_whatever_the_budget() -> None:
    def slow(batch: Any) -> int:
        time.sleep(0.02)
        return 20_000_000

    samples = collect(slow, BATCHES, Sampling(30, 0.0, 0.03, 0.01))
    assert len(samples.nanoseconds) == 5


def test_warm_up_goes_on_until_neighbouring_windows_agree() -> None:
    times = iter([1000] * 5 + [100] * 10**6)
    assert (
        collect(lambda batch: next(times), BATCHES, Sampling(30, 0.0, 5.0, 0.5)).warmup_calls == 13
    )  # the window before the last holds three of the fast calls


def test_warm_up_calls_are_not_among_the_samples() -> None:
    times = iter([1000] * 5 + [100] * 10**6)
    assert set(collect(lambda batch: next(times), BATCHES, Sampling(30, 0.0, 5.0, 0.5)).nanoseconds) == {100}


def test_warm_up_of_a_call_that_never_settles_takes_a_quarter_of_the_budget() -> None:
    seen = []

    def doubling(batch: Any) -> int:
        seen.append(time.perf_counter())
        time.sleep(0.002)
        return 2 ** len(seen)

    samples = collect(doubling, BATCHES, Sampling(5, 0.0, 0.4, 0.5))
    assert seen[samples.warmup_calls - 1] - seen[0] <= 0.1


def test_inputs_are_rotated() -> None:
    seen: list[int] = []

    def call(batch: Any) -> int:
        seen.append(int(batch["x"][0]))
        return 1000

    samples = collect(call, BATCHES, Sampling(32, 0.0, 5.0, 0.5))
    assert seen[samples.warmup_calls :][:16] == [*range(8), *range(8)]


def test_the_garbage_collector_rests_while_sampling_and_only_then() -> None:
    states: set[bool] = set()

    def call(batch: Any) -> int:
        states.add(gc.isenabled())
        return 1000

    collect(call, BATCHES, Sampling(30, 0.0, 5.0, 0.5))
    assert states == {False}
    assert gc.isenabled()


@given(st.lists(st.integers(1, 10**9), min_size=6, max_size=300))
def test_the_half_width_is_at_least_that_of_the_exact_binomial_interval(samples: list[int]) -> None:
    """The normal approximation must never claim more precision than there is (give or take one order statistic)."""
    ordered, n = sorted(samples), len(samples)
    k = int(stats.binom.ppf(0.025, n, 0.5))  # order statistics k and n + 1 - k, counted from one, hold 95 %
    low, high = ordered[k], ordered[n - 1 - k]
    exact_but_one = (high - low) / 2 / float(np.median(ordered))
    assert relative_half_width(samples) >= exact_but_one * (1 - 1e-12)


@pytest.mark.parametrize("n", [*range(6, 60), 100, 1000, 5000])
def test_the_normal_approximation_lacks_less_than_one_percent_of_the_exact_coverage(n: int) -> None:
    ranks = round(
        relative_half_width(range(1, n + 1)) * (n + 1)
    )  # of the ranks themselves: from the low to the high one
    first = (n - ranks + 1) // 2
    assert stats.binom.pmf(range(first, first + ranks), n, 0.5).sum() >= 0.94


@pytest.mark.parametrize("n", range(1, 6))
def test_fewer_than_six_samples_have_no_interval(n: int) -> None:
    assert relative_half_width([100] * n) == float("inf")


def test_equal_samples_have_no_width() -> None:
    assert relative_half_width([100] * 30) == 0


# --- memory ------------------------------------------------------------------------------------------------------------

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's high-water mark")


def in_process(code: str) -> dict[str, int]:
    """Run ``code`` between two readings of a fresh process; what it says of its memory."""
    program = f"""
import json, mmap, time
from harness.worker import memory
restarted = memory.restart_peak()
before = memory.resident()
{code}
after = memory.resident()
print(json.dumps({{"restarted": restarted, "before": before.now_bytes, "now": after.now_bytes,
    "peak": after.peak_bytes, "anonymous": after.anonymous_bytes - before.anonymous_bytes}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    if not found["restarted"]:
        pytest.skip("this kernel does not let the high-water mark start anew")
    return found


@linux
def test_what_is_allocated_and_touched_is_counted() -> None:
    found = in_process("held = bytearray(b'x') * (64 * 2**20)")
    assert abs(found["now"] - found["before"] - 64 * MIB) < 4 * MIB
    assert abs(found["anonymous"] - 64 * MIB) < 4 * MIB


@linux
def test_a_spike_of_a_millisecond_is_in_the_peak() -> None:
    found = in_process("spike = bytearray(b'x') * (64 * 2**20); time.sleep(0.001); del spike")
    assert found["peak"] - found["before"] > 60 * MIB
    assert found["now"] - found["before"] < 8 * MIB


@linux
def test_the_peak_starts_anew_for_each_phase() -> None:
    found = in_process("spike = bytearray(b'x') * (64 * 2**20); del spike; memory.restart_peak()")
    assert found["peak"] - found["before"] < 8 * MIB


@linux
def test_what_is_reserved_but_not_touched_is_not_counted() -> None:
    found = in_process("held = mmap.mmap(-1, 512 * 2**20)")
    assert found["peak"] - found["before"] < 8 * MIB


# --- noise -------------------------------------------------------------------------------------------------------------

BEFORE = Snapshot(total_s=100, busy_s=50, steal_s=1, own_s=10, throttled=3, clock_mhz=3000.0)


def noise(**changed: float) -> NoiseRecord:
    """Ten seconds of CPU time later, two of them ours; ``changed`` says what else came to pass."""
    quiet = {"total_s": 110.0, "busy_s": 52.0, "own_s": 12.0}
    return noise_between(BEFORE, replace(BEFORE, **{**quiet, **changed}))  # type: ignore[arg-type]


def test_a_quiet_round_has_no_verdict() -> None:
    assert verdict(noise()) is None


def test_our_own_work_is_not_noise() -> None:
    assert noise(busy_s=60.0, own_s=20.0).others_share == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"throttled": 5}, "the CPU was throttled 2 times"),
        ({"steal_s": 1.5}, "5% of the CPU time was stolen by other machines"),
        ({"busy_s": 54.0}, "other processes used 20% of the CPUs"),
        ({"major_faults": 101}, "101 pages had to be read from a disk"),
        ({"clock_mhz": 2400.0}, "the clock fell by 20%, to 2400 MHz"),
    ],
)
def test_a_noisy_round_says_what_disturbed_it(changed: dict[str, float], told: str) -> None:
    assert verdict(noise(**changed)) == told


@pytest.mark.parametrize(
    "changed", [{"steal_s": 1.2}, {"busy_s": 53.0}, {"major_faults": 100}, {"clock_mhz": 2700.0}, {"preempted": 9}]
)
def test_a_share_at_its_limit_is_quiet(changed: dict[str, float]) -> None:
    assert verdict(noise(**changed)) is None


def test_no_time_between_is_no_noise() -> None:
    nothing = noise_between(BEFORE, BEFORE)
    assert (nothing.steal_share, nothing.others_share, nothing.throttled) == (0.0, 0.0, 0)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc/stat")
def test_the_counters_of_the_machine_only_grow() -> None:
    before = Snapshot.take()
    sum(range(10**6))
    after = Snapshot.take()
    assert after.total_s >= before.total_s > 0
    assert after.own_s > before.own_s


def test_versions_leave_out_what_is_not_installed() -> None:
    assert set(versions(("no-such-distribution",))) == {"python", "numpy"}
