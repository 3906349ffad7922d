"""The history of a site in a real browser: it asks for nothing, complains of nothing and fits a phone."""

from pathlib import Path

import pytest

from harness.report.html.history_page import render_history
from tests.browser.opened import Browser, Opened, expect
from tests.history_factory import MONDAY, TUESDAY, WEDNESDAY, at, history
from tests.results_factory import HOSTILE, hostile, results

pytestmark = pytest.mark.browser

RUNS = {"en": results, "ru": lambda: results(language="ru"), "hostile": hostile}


@pytest.fixture(scope="module", params=RUNS)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, the oldest on another machine."""
    run = RUNS[request.param]()
    file = tmp_path_factory.mktemp(request.param) / "history.html"
    runs = history(at(WEDNESDAY, run), at(TUESDAY, run), at(MONDAY, run, host=HOSTILE))
    file.write_text(render_history(runs), "utf-8")
    return file


def test_no_request_leaves_the_page_and_nothing_complains(browser: Browser, page: Path) -> None:
    opened = Opened(browser, page)
    assert opened.requests == [page.as_uri()]
    assert opened.complaints == []
    assert opened.page.locator("img, script").count() == 0


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_the_page_never_scrolls_sideways(browser: Browser, page: Path, width: int) -> None:
    opened = Opened(browser, page, viewport={"width": width, "height": 780}).page
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_the_style_is_let_in_by_the_policy_and_follows_the_system(browser: Browser, page: Path) -> None:
    opened = Opened(browser, page, color_scheme="dark").page
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    line = opened.locator(".sparkline .line").first
    assert line.evaluate("element => [getComputedStyle(element).fill, getComputedStyle(element).stroke]") == [
        "none",
        "rgb(78, 169, 224)",
    ]


def test_the_link_of_a_feed_leads_to_its_run(browser: Browser, page: Path) -> None:
    anchor = history(at(MONDAY, results(), host=HOSTILE)).newest.anchor
    opened = Opened(browser, page, f"#{anchor}", viewport={"width": 360, "height": 300}).page
    expect(opened.locator(f"li[id='{anchor}']")).to_be_in_viewport()
