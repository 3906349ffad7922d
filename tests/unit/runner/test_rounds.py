"""A disturbed round is made good by another, rounds that differ ask for more, and no cell is measured for ever."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.contracts.record import Measurement
from harness.runner import rounds
from harness.runner.rounds import PACE_BAND, PACE_TAIL, Judge
from tests.in_process import round_

NOISES = st.lists(st.sampled_from([None, "throttled"]), min_size=1, max_size=8)


PACE = 1e5
ROUND = round_()
JUDGE = Judge(PACE)


def record(milliseconds: float = 1.0, noisy: str | None = None, pace: float = 1.0, tail: float = 1.0) -> Measurement:
    """A round in which the fixed loop took ``pace`` times as long as in the quiet, a quarter of the time ``tail`` times."""
    quartiles = [0.99 * pace * PACE, pace * PACE, tail * pace * PACE]
    latency = replace(ROUND.latency, nanoseconds=[round(milliseconds * 1e6)] * 3, noisy=noisy, pace_ns=quartiles)
    return replace(ROUND, latency=latency)


def quiet(records: list[Measurement]) -> float | None:
    return rounds.quiet_pace(map(rounds.pace, records))


@given(noises=NOISES, wanted=st.integers(1, 5))
def test_noisy_rounds_are_left_out_where_enough_were_quiet(noises: list[str | None], wanted: int) -> None:
    counts = JUDGE.counted([record(noisy=noise) for noise in noises], wanted, paced=True)
    quiet = noises.count(None)
    assert sum(counts) == (quiet if quiet >= wanted else len(noises))
    if quiet >= wanted:
        assert not any(counts[at] for at, noise in enumerate(noises) if noise)


@given(noises=NOISES, wanted=st.integers(1, 5))
def test_a_cell_is_unsure_until_enough_rounds_were_quiet(noises: list[str | None], wanted: int) -> None:
    needed = JUDGE.unsure([record(noisy=noise) for noise in noises], wanted, spread=0.1)
    assert needed == (math.inf if noises.count(None) < wanted else 0)


@pytest.mark.parametrize(("medians", "wanted"), [([1.0, 1.001, 1.002], False), ([1.0, 1.2, 1.4], True), ([1.0], False)])
def test_rounds_that_differ_much_ask_for_more(medians: list[float], wanted: bool) -> None:
    assert (JUDGE.unsure([record(median) for median in medians], len(medians), spread=0.1) > 0.1) is wanted


def test_a_noisy_round_that_is_left_out_does_not_make_a_cell_wide() -> None:
    records = [record(), record(1.001), record(0.999), record(5.0, "throttled")]
    assert not JUDGE.unsure(records, 3, spread=0.1)
    assert JUDGE.unsure(records[1:], 3, spread=0.1)


@pytest.mark.parametrize(
    ("off", "told"),
    [
        ({"pace": 1.4}, "the processor ran slower than in the quiet: a fixed loop took 1.40 times as long"),
        ({"pace": 0.8}, "the processor ran faster than in the quiet: a fixed loop took 0.80 times as long"),
        (
            {"tail": 1.3},
            "the processor was slower than in the quiet at times: a quarter of the loops took 1.30 times as long",
        ),
        ({"pace": 2.0, "noisy": "throttled"}, "throttled"),
        ({"pace": 1 + 0.99 * PACE_BAND}, None),
        ({"pace": 1 / (1 + 0.99 * PACE_BAND)}, None),
        ({"tail": 1 + 0.99 * PACE_TAIL}, None),
    ],
)
def test_a_round_at_another_pace_is_noisy_and_says_which(off: dict[str, Any], told: str | None) -> None:
    assert JUDGE.noise(record(**off)) == told


def test_rounds_at_another_pace_are_left_out_where_enough_were_quiet() -> None:
    records = [record(1.0), record(1.5, pace=1.5), record(1.1), record(0.8, pace=0.8)]
    assert JUDGE.medians(records, 2, paced=True) == [1.0e6, 1.1e6]
    assert len(JUDGE.medians(records, 3, paced=True)) == 4
    assert JUDGE.unsure(records, 3, spread=0.1) == math.inf


def test_rounds_at_another_pace_count_where_a_cell_to_compare_with_has_no_others() -> None:
    records = [record(1.0), record(1.5, pace=1.5), record(1.1), record(9.0, "throttled")]
    assert JUDGE.medians(records, 2, paced=False) == [1.0e6, 1.5e6, 1.1e6]


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30))
def test_never_are_all_rounds_at_another_pace(paces: list[float]) -> None:
    records = [record(pace=pace) for pace in paces[:1] * 2 + paces]
    assert any(Judge(quiet(records)).noise(each) is None for each in records)
    alike = records[:1] * len(records)
    assert all(Judge(quiet(alike)).noise(each) is None for each in alike)


@pytest.mark.parametrize("number", [4, 9, 20])
def test_the_quiet_pace_is_that_of_most_rounds_without_a_neighbour(number: int) -> None:
    """Not of the one at a higher clock, and not of those beside a neighbour, however many: each is slowed in its own way."""
    paces = [0.85, *[1.0] * number, *[1.3 + each / 20 for each in range(20)]]
    assert quiet([record(pace=pace) for pace in paces]) == pytest.approx(PACE)


def test_where_a_neighbour_is_always_there_its_pace_is_the_quiet_one() -> None:
    assert quiet([record(pace=pace) for pace in [1.98, 2.0, 2.0, 2.0, 2.02]]) == pytest.approx(2 * PACE)
    assert quiet([]) is None
