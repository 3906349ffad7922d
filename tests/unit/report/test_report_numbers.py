import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.language import numbers
from harness.untrusted_text import date, one_line, slug, visible


@pytest.mark.parametrize(
    ("value", "interval", "expected"),
    [
        (1484.23, (1477.0, 1491.0), "1484"),
        (21.648, (21.44, 21.85), "21.6"),
        (13.374, (13.24, 13.5), "13.37"),
        (0.3143, (0.3111, 0.3175), "0.314"),
        (0.93104, (0.919, 0.9418), "0.931"),
        (538.14, None, "538"),
        (0.412, None, "0.412"),
        (3.0, (3.0, 3.0), "3.00"),
        (0.0, None, "0"),
        (12345.6, None, "12\u202f346"),
        (None, None, "—"),
    ],
)
def test_a_number_has_the_digits_that_its_interval_knows(
    value: float | None, interval: tuple[float, float] | None, expected: str
) -> None:
    assert numbers.number(value, interval) == expected


def test_a_margin_has_the_decimals_of_its_number() -> None:
    assert numbers.margin(21.648, (21.44, 21.85)) == "±\u202f0.2"
    assert numbers.margin(21.648, None) == ""


def test_a_difference_carries_true_signs_and_no_negative_zero() -> None:
    assert numbers.difference(-0.0044, (-0.0104, 0.0016)) == "−0.004 [−0.010,\u00a0+0.002]"
    assert numbers.difference(-0.00004, (-0.01, 0.01)) == "0.000 [−0.010,\u00a0+0.010]"
    assert numbers.difference(0.5) == "+0.500"


def test_a_ratio_shows_two_digits_without_an_interval_and_what_is_known_with_one() -> None:
    assert numbers.ratio(3.9062) == "3.9×"
    assert numbers.ratio(1.04) == "1.04×"
    assert numbers.ratio(2.13, (1.91, 2.34)) == "2.1× [1.9,\u00a02.3]"
    assert numbers.ratio(0.9981, (0.989, 1.008)) == "0.998× [0.989,\u00a01.008]"


def test_megabytes_are_decimal() -> None:
    assert numbers.megabytes(1_500_000) == "1.50"
    assert numbers.megabytes(None) == "—"


@given(st.floats(1e-6, 1e9), st.floats(1e-4, 1))
def test_no_margin_that_is_not_zero_prints_as_zero(value: float, share: float) -> None:
    half = value * share
    printed = numbers.margin(value, (value - half, value + half)).strip("±\u202f").replace("\u202f", "")
    assert float(printed) > 0


@given(st.text())
def test_visible_text_holds_nothing_that_hides_or_reorders(text: str) -> None:
    shown = visible(text)
    assert not set(shown) & set("\x00\x1b\u202a\u202d\u202e\u2066\u2067\u2069\u200e\u200f\ufeff")
    assert "\n" not in one_line(text)


def test_direction_marks_are_written_out() -> None:
    assert visible("a\u202eb\x00") == "a\\u202eb\\u0000"


def test_slugs_are_ascii() -> None:
    assert slug("MiniLM/int8 — dynamic") == "minilm-int8-dynamic"
    assert slug("модель") == "unnamed"


@pytest.mark.parametrize(
    ("recorded", "told"),
    [
        ("2026-11-24T23:35:22+00:00", "2026-11-24 23:35 UTC"),
        ("2026-11-25T02:35:22+03:00", "2026-11-24 23:35 UTC"),
        ("2026-11-24T23:35:22Z", "2026-11-24 23:35 UTC"),
        ("soon", "soon"),
    ],
)
def test_a_time_is_told_to_the_minute_and_in_utc(recorded: str, told: str) -> None:
    assert date(recorded) == told
