"""A disturbed round is made good by another, rounds that differ ask for more, and no cell is measured for ever."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.orchestrator.rounds import PACE_LIMIT, counted, medians, noise, unsure, usual_pace

NOISES = st.lists(st.sampled_from([None, "throttled"]), min_size=1, max_size=8)


PACE = 1e5


def record(milliseconds: float = 1.0, noisy: str | None = None, pace: float = PACE) -> dict[str, Any]:
    return {"latency": {"nanoseconds": [milliseconds * 1e6] * 3, "noisy": noisy, "pace_ns": pace}}


@given(noises=NOISES, wanted=st.integers(1, 5))
def test_noisy_rounds_are_left_out_where_enough_were_quiet(noises: list[str | None], wanted: int) -> None:
    counts = counted([record(noisy=noise) for noise in noises], wanted, PACE)
    quiet = noises.count(None)
    assert sum(counts) == (quiet if quiet >= wanted else len(noises))
    if quiet >= wanted:
        assert not any(counts[at] for at, noise in enumerate(noises) if noise)


@given(noises=NOISES, wanted=st.integers(1, 5))
def test_a_cell_is_unsure_until_enough_rounds_were_quiet(noises: list[str | None], wanted: int) -> None:
    needed = unsure([record(noisy=noise) for noise in noises], wanted, PACE, spread=0.1)
    assert needed == (math.inf if noises.count(None) < wanted else 0)


@pytest.mark.parametrize(("medians", "wanted"), [([1.0, 1.001, 1.002], False), ([1.0, 1.2, 1.4], True), ([1.0], False)])
def test_rounds_that_differ_much_ask_for_more(medians: list[float], wanted: bool) -> None:
    assert (unsure([record(median) for median in medians], len(medians), PACE, spread=0.1) > 0.1) is wanted


def test_a_noisy_round_that_is_left_out_does_not_make_a_cell_wide() -> None:
    records = [record(), record(1.001), record(0.999), record(5.0, "throttled")]
    assert not unsure(records, 3, PACE, spread=0.1)
    assert unsure(records[1:], 3, PACE, spread=0.1)


def test_a_round_whose_processor_was_slowed_is_noisy_and_says_by_how_much() -> None:
    assert noise(record(pace=1.4 * PACE), PACE) == (
        "the processor was slowed: a fixed loop took 1.40 times as long as usual"
    )
    assert noise(record(pace=0.99 * PACE_LIMIT * PACE), PACE) is None
    assert noise(record(noisy="throttled", pace=2 * PACE), PACE) == "throttled"


def test_slowed_rounds_are_left_out_where_enough_were_not() -> None:
    records = [record(1.0), record(1.5, pace=1.5 * PACE), record(1.1), record(1.6, pace=1.6 * PACE)]
    assert medians(records, 2, PACE) == [1.0e6, 1.1e6]
    assert len(medians(records, 3, PACE)) == 4
    assert unsure(records, 3, PACE, spread=0.1) == math.inf


@given(st.lists(st.floats(1e4, 1e7), min_size=1, max_size=30))
def test_never_are_all_rounds_slowed(paces: list[float]) -> None:
    records = [record(pace=pace) for pace in paces]
    assert any(noise(each, usual_pace(records)) is None for each in records)
    alike = records[:1] * len(records)
    assert all(noise(each, usual_pace(alike)) is None for each in alike)


def test_the_usual_pace_does_not_hang_on_one_fast_round() -> None:
    records = [record(pace=pace * PACE) for pace in (0.5, *[1.0] * 19)]
    assert usual_pace(records) == pytest.approx(PACE)
    assert usual_pace([]) is None
