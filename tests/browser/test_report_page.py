"""The page in a real browser. Needs Debian's chromium; ``MATRIX_REQUIRE_BROWSER=1`` makes its absence a failure."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import report
from harness.results import Results
from tests.results_factory import hostile, results

pytestmark = pytest.mark.browser
if not os.environ.get("MATRIX_REQUIRE_BROWSER"):
    pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        message = "no chromium on the PATH; apt-get install chromium"
        if os.environ.get("MATRIX_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    runs = {"en": results(), "ru": results(language="ru"), "hostile": hostile()}
    return {name: written(run, tmp_path_factory.mktemp(name)) for name, run in runs.items()}


def written(run: Results, folder: Path) -> Path:
    report.render(run, folder)
    return folder / "index.html"


class Opened:
    """A page with all that it asked for and all that it complained about."""

    def __init__(self, browser: Browser, path: Path, fragment: str = "", **context: object) -> None:
        self.page: Page = browser.new_context(**context).new_page()  # type: ignore[arg-type]
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("a dialog"), dialog.dismiss()))
        self.page.goto(f"{path.as_uri()}{fragment}")


def order(page: Page, model: str) -> list[str]:
    rows = page.locator(f"tr.row[data-model='{model}'][data-cpu-ms]")
    return [f"{row.get_attribute('data-method')} {row.get_attribute('data-runtime')}" for row in rows.all()]


def latencies(page: Page, model: str) -> list[float]:
    rows = page.locator(f"tr.row[data-model='{model}'][data-cpu-ms]")
    return [float(row.get_attribute("data-cpu-ms") or "nan") for row in rows.all()]


@pytest.mark.parametrize("name", ["en", "ru", "hostile"])
def test_no_request_leaves_the_page_and_nothing_complains(
    browser: Browser, reports: dict[str, Path], name: str
) -> None:
    opened = Opened(browser, reports[name])
    for button in opened.page.locator(".more").all():
        button.click()
    opened.page.locator("#theme").click()
    assert opened.requests == [reports[name].as_uri()]
    assert opened.complaints == []


def test_sorting_puts_numbers_in_order_and_failures_last(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    header = page.get_by_role("columnheader", name="CPU, ms")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    assert latencies(page, "minilm-ner") == sorted(latencies(page, "minilm-ner"))
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    assert latencies(page, "minilm-ner") == sorted(latencies(page, "minilm-ner"), reverse=True)
    last = page.locator("tr.row[data-model='minilm-ner']").nth(9)
    expect(last).to_have_attribute("data-status", "unsupported")
    expect(page.locator("th[aria-sort]:not([aria-sort=none])")).to_have_count(1)


def test_details_stay_with_their_row_when_sorted(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.get_by_role("columnheader", name="Quality").get_by_role("button").click()
    pairs = page.evaluate("[...document.querySelectorAll('tr.row')].map(r => [r.id, r.nextElementSibling.id])")
    assert all(detail == f"d{row}" for row, detail in pairs)


def test_filters_combine_and_reset(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.get_by_role("combobox", name="Runtime").select_option("onnxruntime")
    page.get_by_role("combobox", name="Status").select_option("unsupported")
    expect(page.locator("tr.row:visible")).to_have_count(3)
    expect(page.locator("output")).to_have_text("3 of 32 rows")
    page.get_by_role("combobox", name="Method").select_option("original")
    expect(page.get_by_text("No row fits these filters.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("tr.row:visible")).to_have_count(32)


def test_a_row_opens_by_keyboard(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    button = page.get_by_role("button", name="Details of onnxruntime int8-dynamic").first
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("heading", name="Measure this row again")).to_be_visible()
    page.keyboard.press("Space")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_role("heading", name="Measure this row again")).to_have_count(0)


def test_a_point_of_the_chart_leads_to_its_row(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    anchor = page.locator(".chart a").first.get_attribute("href") or ""
    page.locator(".chart a").first.click(force=True)
    expect(page.locator(f"tr[id='{anchor[1:]}'] .more")).to_have_attribute("aria-expanded", "true")
    reopened = Opened(browser, reports["en"], anchor).page
    expect(reopened.locator(f"tr[id='{anchor[1:]}']")).to_be_in_viewport()


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
@pytest.mark.parametrize("name", ["en", "ru", "hostile"])
def test_the_page_never_scrolls_sideways(browser: Browser, reports: dict[str, Path], name: str, width: int) -> None:
    page = Opened(browser, reports[name], viewport={"width": width, "height": 780}).page
    page.evaluate("document.querySelectorAll('.more').forEach(button => button.click())")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_touch_targets_are_large_on_a_phone(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"], viewport={"width": 360, "height": 780}).page
    for control in page.locator("select, thead button, #theme, .filters button").all():
        box = control.bounding_box()
        assert box
        assert box["height"] >= 44


def test_hostile_strings_are_shown_as_text(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["hostile"]).page
    assert page.locator("img").count() == 0
    expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=alert(1)>|</script>\\u202e evil")


def test_dark_mode_follows_the_system_and_the_button(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"], color_scheme="dark").page
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    assert dark == "rgb(20, 23, 26)"
    page.locator("#theme").click()
    expect(page.locator("#theme")).to_have_text("◐ light")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.locator("#theme").click()
    assert page.evaluate(paper) == dark


def test_without_script_everything_can_be_read(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"], java_script_enabled=False).page
    expect(page.locator("tr.row")).to_have_count(32)
    page.locator("tr.detail summary").first.click()
    expect(page.locator("tr.detail .cards").first).to_be_visible()
    expect(page.locator("form.filters")).to_be_hidden()


def test_print_keeps_the_table_and_drops_the_controls(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.emulate_media(media="print")
    expect(page.locator("form.filters")).to_be_hidden()
    expect(page.locator("tr.row:visible")).to_have_count(32)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser: Browser, reports: dict[str, Path], scheme: str) -> None:
    page = Opened(browser, reports["en"], color_scheme=scheme).page
    colours = page.evaluate(
        """["ink", "muted", "accent", "good", "bad", "paper", "soft"].map(name =>
           [name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim()])"""
    )
    palette = dict(colours)
    for name in ("ink", "muted", "accent", "good", "bad"):
        assert min(contrast(palette[name], palette[paper]) for paper in ("paper", "soft")) >= 4.5, name


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
