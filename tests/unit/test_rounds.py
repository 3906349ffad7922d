"""A disturbed round is made good by another, rounds that differ ask for more, and no cell is measured for ever."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.orchestrator.rounds import counted, unsure

NOISES = st.lists(st.sampled_from([None, "throttled"]), min_size=1, max_size=8)


def record(milliseconds: float = 1.0, noisy: str | None = None) -> dict[str, Any]:
    return {"latency": {"nanoseconds": [milliseconds * 1e6] * 3, "noisy": noisy}}


@given(noises=NOISES, wanted=st.integers(1, 5))
def test_noisy_rounds_are_left_out_where_enough_were_quiet(noises: list[str | None], wanted: int) -> None:
    counts = counted([record(noisy=noise) for noise in noises], wanted)
    quiet = noises.count(None)
    assert sum(counts) == (quiet if quiet >= wanted else len(noises))
    if quiet >= wanted:
        assert not any(counts[at] for at, noise in enumerate(noises) if noise)


@given(noises=NOISES, wanted=st.integers(1, 5))
def test_a_cell_is_unsure_until_enough_rounds_were_quiet(noises: list[str | None], wanted: int) -> None:
    needed = unsure([record(noisy=noise) for noise in noises], wanted, spread=0.1)
    assert needed == (math.inf if noises.count(None) < wanted else 0)


@pytest.mark.parametrize(("medians", "wanted"), [([1.0, 1.001, 1.002], False), ([1.0, 1.2, 1.4], True), ([1.0], False)])
def test_rounds_that_differ_much_ask_for_more(medians: list[float], wanted: bool) -> None:
    assert (unsure([record(median) for median in medians], len(medians), spread=0.1) > 0.1) is wanted


def test_a_noisy_round_that_is_left_out_does_not_make_a_cell_wide() -> None:
    records = [record(), record(1.001), record(0.999), record(5.0, "throttled")]
    assert not unsure(records, 3, spread=0.1)
    assert unsure(records[1:], 3, spread=0.1)
