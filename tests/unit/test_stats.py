import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness import stats
from harness.stats import Comparison, Verdict

scipy_stats = pytest.importorskip("scipy.stats")
times = st.floats(0.01, 1e4)
freedoms = st.floats(0.6, 500)


@given(st.floats(-50, 50), freedoms)
def test_student_t_cdf_is_scipys(t: float, df: float) -> None:
    assert stats.student_t_cdf(t, df) == pytest.approx(scipy_stats.t.cdf(t, df), rel=1e-9, abs=1e-13)


@given(st.floats(1e-4, 1 - 1e-4), freedoms)
def test_student_t_quantile_is_scipys(probability: float, df: float) -> None:
    expected = scipy_stats.t.ppf(probability, df)
    assert stats.student_t_quantile(probability, df) == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("probability", [0.0, 1.0, -1.0, math.nan])
def test_a_quantile_needs_a_probability(probability: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        stats.student_t_quantile(probability, 4)


@given(st.lists(times, min_size=1, max_size=50), st.floats(0, 100))
def test_percentile_lies_within_the_samples(samples: list[float], q: float) -> None:
    assert min(samples) <= stats.percentile(samples, q) <= max(samples)


@given(samples=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40))
def test_the_mode_is_one_of_the_values_whatever_their_order(samples: list[float]) -> None:
    assert stats.mode(samples) in samples
    assert stats.mode(samples[::-1]) == stats.mode(samples)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5.0], 5.0), ([1.0, 9.0, 9.1], 9.0), ([7.0, 1.0, 1.02, 1.01, 3.0, 5.0, 8.0, 9.0, 9.9, 4.0, 2.0, 6.0], 1.01)],
)
def test_the_mode_is_where_the_values_are_densest(values: list[float], expected: float) -> None:
    assert stats.mode(values) == expected


def test_percentile_is_type_7() -> None:
    assert stats.percentile([1, 2, 3, 4], 40) == pytest.approx(2.2)
    with pytest.raises(ValueError, match="no samples"):
        stats.percentile([], 50)


@given(st.lists(times, min_size=2, max_size=12))
def test_round_interval_holds_the_geometric_mean(medians: list[float]) -> None:
    interval = stats.round_interval(medians)
    assert interval is not None
    mean = stats.geometric_mean(medians)
    assert interval[0] <= mean * (1 + 1e-9)
    assert interval[1] >= mean * (1 - 1e-9)


def test_round_interval_is_students_on_logs() -> None:
    medians = [10.0, 11.0, 10.5]
    expected = scipy_stats.ttest_1samp(np.log(medians), 0).confidence_interval(0.95)
    assert stats.round_interval(medians) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert stats.round_interval([10.0]) is None


@given(st.lists(times, min_size=2, max_size=9), st.lists(times, min_size=2, max_size=9))
def test_compare_is_scipys_welch(cell: list[float], baseline: list[float]) -> None:
    assume(np.std(np.log(cell)) > 1e-6 or np.std(np.log(baseline)) > 1e-6)
    expected = scipy_stats.ttest_ind(np.log(baseline), np.log(cell), equal_var=False)
    bounds = expected.confidence_interval(0.95)
    found = stats.compare(cell, baseline)
    assert found.interval is not None
    assert np.log(found.interval) == pytest.approx([bounds.low, bounds.high], rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


@given(st.lists(times, min_size=5, max_size=9), st.lists(times, min_size=5, max_size=9))
def test_comparing_the_other_way_round_mirrors_the_verdict(a: list[float], b: list[float]) -> None:
    mirror = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    there, back = stats.compare(a, b), stats.compare(b, a)
    assert there.speedup == pytest.approx(1 / back.speedup)
    word = stats.verdict(there)
    assert word is not None
    assert stats.verdict(back) == mirror.get(word, word)


def test_constant_rounds_compare_without_dividing_by_zero() -> None:
    assert stats.compare([2.0] * 3, [4.0] * 3) == Comparison(pytest.approx(2), (pytest.approx(2),) * 2, 0.0, 3)
    assert stats.compare([2.0] * 3, [2.0] * 3).p == 1.0


def test_one_round_has_a_ratio_and_no_interval() -> None:
    assert stats.compare([1.0], [2.0, 2.1]) == Comparison(pytest.approx(2.0493901), None, None, 1)


@pytest.mark.parametrize("values", [[], [0.0], [-1.0, 2.0]])
def test_a_geometric_mean_needs_positive_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        stats.geometric_mean(values)


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (Comparison(2.1, (1.9, 2.3), 1e-6, 5), Verdict.FASTER),
        (Comparison(0.5, (0.4, 0.6), 1e-6, 5), Verdict.SLOWER),
        (Comparison(1.005, (0.995, 1.015), 0.3, 5), Verdict.TIE),
        (Comparison(1.012, (1.008, 1.016), 1e-4, 5), Verdict.TIE),
        (Comparison(1.012, (1.001, 1.023), 0.04, 5), Verdict.TOO_NOISY),
        (Comparison(1.3, (0.9, 1.8), 0.2, 5), Verdict.TOO_NOISY),
        (Comparison(2.1, (1.9, 2.3), 1e-6, 4), None),
        (Comparison(2.1, None, None, 1), None),
    ],
)
def test_verdicts(comparison: Comparison, expected: Verdict | None) -> None:
    assert stats.verdict(comparison) == expected


def test_a_verdict_falls_to_the_correction_for_many_comparisons() -> None:
    assert stats.verdict(Comparison(1.3, (1.01, 1.7), 0.04, 5), p=0.12) == Verdict.TOO_NOISY


def test_holm_by_the_books_example() -> None:
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_a_p_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = stats.holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    by_p = [a for _, a in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)


def test_false_verdicts_stay_near_their_nominal_rate() -> None:
    random = np.random.default_rng(1)
    pairs = 400
    rounds = np.exp(random.normal(0, 0.01, (pairs, 2, 5)))
    words = [stats.verdict(stats.compare(list(a), list(b))) for a, b in rounds]
    assert sum(word in (Verdict.FASTER, Verdict.SLOWER) for word in words) < 0.08 * pairs


def test_difference_interval_reaches_as_far_as_its_parts_together() -> None:
    low, high = stats.difference_interval(0.90, (0.87, 0.92), 0.91, (0.89, 0.95))
    assert (low, high) == pytest.approx((-0.01 - 0.05, -0.01 + math.hypot(0.02, 0.02)))
