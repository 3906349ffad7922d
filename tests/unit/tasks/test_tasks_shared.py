"""What the tasks share: discovery, the bootstrap, storage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness import tasks
from harness.tasks import _storage
from harness.tasks._bootstrap import interval, paired


def mean(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def with_ones(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, np.ones_like(values)])


def test_tasks_are_found_by_their_files() -> None:
    assert tasks.names() == ["image-classification", "text-generation", "token-classification"]


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_has_its_own_name_and_a_workload(name: str) -> None:
    assert name == tasks.get(name).NAME
    assert tasks.get(name).WORKLOAD["batch"] == 1


def test_an_unknown_task_is_told_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="image-classification"):
        tasks.get("translation")


def test_the_interval_agrees_with_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(5).normal(10, 2, size=200)
    low, high = interval(with_ones(values), mean) or (0, 0)
    reference = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000, rng=1).confidence_interval
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.05)


def test_the_interval_is_the_same_every_time() -> None:
    values = with_ones(np.arange(20.0))
    assert interval(values, mean) == interval(values, mean)


@pytest.mark.parametrize("examples", [0, 1])
def test_fewer_than_two_examples_have_no_interval(examples: int) -> None:
    assert interval(np.ones((examples, 2)), mean) is None


def test_the_paired_interval_agrees_with_scipys_paired_bootstrap() -> None:
    draw = np.random.default_rng(5)
    theirs = draw.normal(10, 2, size=200)
    ours = theirs + draw.normal(0.3, 0.5, size=200)
    low, high = paired(with_ones(ours), with_ones(theirs), mean) or (0, 0)

    def change(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(a, axis=axis) - np.mean(b, axis=axis)

    reference = stats.bootstrap(
        (ours, theirs), change, method="percentile", paired=True, n_resamples=5000, rng=1
    ).confidence_interval
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.02)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30))
def test_the_same_answers_differ_by_nothing(values: list[float]) -> None:
    tallies = with_ones(np.array(values))
    assert paired(tallies, tallies, mean) == (0, 0)


@pytest.mark.parametrize("name", tasks.names())
def test_the_change_of_a_task_s_own_metric_has_an_interval(name: str) -> None:
    theirs = [[8.0, 10.0, 10.0][: 2 + (name == "token-classification")] for _ in range(20)]
    ours = [[row[0] - (at % 2), *row[1:]] for at, row in enumerate(theirs)]
    low, high = tasks.change_interval(name, ours, theirs) or (0, 0)
    assert low <= high < 0


@given(st.lists(st.lists(st.integers(0, 50_000), max_size=9), max_size=9))
def test_flattening_ragged_items_loses_nothing(items: list[list[int]]) -> None:
    values, offsets = _storage.flatten(items)
    assert [part.tolist() for part in _storage.unflatten(values, offsets)] == items


@given(length=st.integers(1, 20), count=st.integers(1, 20), spare=st.integers(0, 40))
def test_windows_are_all_different_and_real(length: int, count: int, spare: int) -> None:
    stream = np.arange(length + count - 1 + spare)
    chosen = _storage.windows(stream, length, count)
    assert chosen.shape == (count, length)
    assert len({row[0] for row in chosen}) == count
    assert (np.diff(chosen, axis=1) == 1).all()


def test_a_stream_that_is_too_short_says_how_much_is_missing() -> None:
    with pytest.raises(ValueError, match="has 10 tokens, the workload needs 15"):
        _storage.windows(np.arange(10), length=8, count=8)


def test_stored_data_comes_back(tmp_path: Path) -> None:
    _storage.save(tmp_path, {"é": 1}, {"a": np.arange(3)})
    facts, arrays = _storage.load(tmp_path)
    assert facts == {"é": 1}
    assert arrays["a"].tolist() == [0, 1, 2]


def test_stored_data_holds_no_pickles(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        _storage.save(tmp_path, {}, {"a": np.array([{}], dtype=object)})
