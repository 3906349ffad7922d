"""What the page's script must know again, it knows as Python does."""

import random
import re

import pytest

from harness import stats
from harness.report.html.page import TEMPLATES
from harness.report.language import numbers
from tests.browser.opened import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def script(browser: Browser) -> Page:
    """An empty page that holds the functions of the report's script."""
    page = browser.new_page()
    page.add_script_tag(
        content=re.sub(r"^const ", "var ", "\n".join(part("numbers") + part("stats")), flags=re.MULTILINE)
    )
    return page


def part(name: str) -> list[str]:
    return (TEMPLATES / "page" / f"{name}.js").read_text("utf-8").splitlines()


def test_the_script_writes_numbers_like_the_server(script: Page) -> None:
    draw = random.Random(5)
    cases = []
    for _ in range(2000):
        value = draw.choice([-1, 1]) * 10 ** draw.uniform(-5, 7)
        half = abs(value) * 10 ** draw.uniform(-5, 0.5)
        cases.append((value, (value - half, value + half * draw.uniform(0.2, 1))))
    ours = [
        [numbers.number(v), numbers.number(v, i), numbers.difference(v, i), numbers.difference(v)] for v, i in cases
    ]
    theirs = script.evaluate(
        "cases => cases.map(([v, i]) => [number(v), number(v, i), difference(v, i), difference(v)])", cases
    )
    assert theirs == ours
    near_one = [draw.uniform(0.85, 1.15) for _ in range(200)]
    ratios = [(v, (v * 0.9, v * 1.2)) for v in (*(abs(v) for v, _ in cases), *near_one)]
    expected = [[numbers.ratio(v), numbers.ratio(v, i)] for v, i in ratios]
    assert script.evaluate("cases => cases.map(([v, i]) => [ratio(v), ratio(v, i)])", ratios) == expected


def test_the_script_compares_speeds_like_the_server(script: Page) -> None:
    draw = random.Random(6)
    cases = []
    for _ in range(400):
        level, noise = draw.lognormvariate(0, 0.03), draw.choice([0.0, 0.002, 0.02, 0.2])
        sizes = [draw.choice([1, 2, 3, 5, 7]) for _ in range(2)]
        cases.append(
            [
                [center * draw.lognormvariate(0, noise) for _ in range(n)]
                for center, n in zip((level, 1), sizes, strict=True)
            ]
        )
    theirs = script.evaluate(
        "cases => cases.map(([a, b]) => { const c = compareSpeed(a, b); return [c, verdict(c, c.p)]; })", cases
    )
    for (cell, baseline), (found, word) in zip(cases, theirs, strict=True):
        ours = stats.compare(cell, baseline)
        assert found["speedup"] == pytest.approx(ours.speedup, rel=1e-12)
        assert found["interval"] == (ours.interval and pytest.approx(ours.interval, rel=1e-9))
        assert found["p"] == (ours.p if ours.p is None else pytest.approx(ours.p, rel=1e-6, abs=1e-12))
        assert word == (stats.verdict(ours) and stats.verdict(ours).value)  # type: ignore[union-attr]


def test_the_script_corrects_for_many_tests_like_the_server(script: Page) -> None:
    draw = random.Random(7)
    cases = [[draw.random() ** 3 for _ in range(draw.randint(1, 12))] for _ in range(100)]
    assert script.evaluate("cases => cases.map(holm)", cases) == [pytest.approx(stats.holm(case)) for case in cases]
