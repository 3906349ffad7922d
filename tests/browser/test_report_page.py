"""The report's page in a real browser: picks, charts, addresses, languages, the page of a cell."""

import re
from pathlib import Path
from urllib.parse import unquote_plus

import pytest

from tests.browser.opened import Browser, Opened, expect, pick, slide, words

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", ["en", "ru", "hostile", "few", "many", "compared", "two"])
def test_no_request_leaves_the_page_and_nothing_complains(
    browser: Browser, reports: dict[str, Path], name: str
) -> None:
    opened = Opened(browser, reports[name])
    for button in opened.page.locator(".more").all()[:40]:
        button.click()
    for select in ("theme", "language", "against", "baseline"):
        for option in opened.page.locator(f"[name={select}] option").all()[:4]:
            opened.page.locator(f"[name={select}]").select_option(option.get_attribute("value"))
    slide(opened.page, "latency", "40")
    assert opened.requests == [reports[name].as_uri()]
    assert opened.complaints == []


# --- the picks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["en", "few", "hostile", "many", "two"])
def test_the_script_picks_what_the_server_picked(browser: Browser, reports: dict[str, Path], name: str) -> None:
    written_picks = words(Opened(browser, reports[name], java_script_enabled=False).page, ".picks")
    assert words(Opened(browser, reports[name]).page, ".picks") == written_picks
    assert any("\u2014" not in line for line in written_picks)


def test_the_picks_follow_what_one_accepts(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    assert "int8" not in pick(page, 1, "Fastest")
    slide(page, "loss", "5")
    assert "onnxruntime int8-dynamic" in pick(page, 1, "Fastest")
    slide(page, "ram", "0")
    assert pick(page, 0, "Fastest") == "nothing fits"
    expect(page.locator(".within").first).to_contain_text("by RAM")
    page.get_by_role("button", name="As at first").click()
    assert "int8" not in pick(page, 1, "Fastest")


def test_what_cannot_be_told_apart_is_called_a_tie(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    assert "tie with" in pick(page, 1, "Smallest")  # three formats of 16 bits are as large


# --- the charts ---------------------------------------------------------------------------------------------------------


def test_a_point_of_the_chart_leads_to_its_row(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    anchor = page.locator(".chart a").first.get_attribute("href") or ""
    page.locator(".chart a").first.click(force=True)
    expect(page.locator(f"tr[id='{anchor[1:]}'] .more")).to_have_attribute("aria-expanded", "true")
    reopened = Opened(browser, reports["en"], anchor).page
    expect(reopened.locator(f"tr[id='{anchor[1:]}']")).to_be_in_viewport()


def test_a_point_leads_to_a_row_that_a_filter_hid(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.get_by_role("combobox", name="Status").select_option("skipped")
    link = page.locator(".chart a").first
    link.click(force=True)
    expect(page.locator(f"tr[id='{(link.get_attribute('href') or '')[1:]}']")).to_be_in_viewport()


def test_a_point_tells_its_row_to_mouse_and_keyboard(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    first = page.locator(".chart a").first
    first.hover(force=True)
    expect(page.locator("#tip")).to_contain_text("ms")
    page.locator(".chart a").nth(1).focus()
    told = page.locator("#tip").inner_text()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tip")).not_to_have_text(told)
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()


def test_quality_can_be_held_against_size(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.locator("[name=against]").select_option("weights")
    expect(page.locator("figure.pareto").first).to_contain_text("weights, MB")
    expect(page.locator("figure.pareto .point").first).to_be_visible()


def test_the_map_leads_to_what_was_not_measured(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    assert page.locator(".map td a").count() == 32
    place = page.locator(".map td.s-crashed a").first
    place.click()
    expect(page.locator(f"tr[id='{(place.get_attribute('href') or '')[1:]}']")).to_be_in_viewport()


# --- addresses, languages, themes ---------------------------------------------------------------------------------------


def test_the_address_holds_what_was_chosen(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    assert "#" not in page.url.removesuffix("#")
    page.get_by_role("combobox", name="Model").select_option("minilm-ner")
    page.locator("th[data-column=ram] [data-sort]").click()
    page.locator("[name=baseline]").select_option("original onnxruntime")
    page.locator("[name=against]").select_option("ram")
    slide(page, "loss", "5")
    page.locator("[name=language]").select_option("ru")
    page.get_by_text("Столбцы", exact=True).click()
    page.get_by_label("zstd, МБ").uncheck()
    fragment = page.url.partition("#")[2]
    assert len(fragment) < 250
    assert "model=minilm-ner" in unquote_plus(fragment)
    there = Opened(browser, reports["en"], f"#{fragment}").page
    for selector in ("tr.row:visible", ".picks", "figure.pareto"):
        assert words(there, selector) == words(page, selector)
    expect(there.locator("th[data-column=ram]")).to_have_attribute("aria-sort", "ascending")
    expect(there.locator("th[data-column=zstd]")).to_be_hidden()


@pytest.mark.parametrize(
    "fragment", ["#nonsense", "#language=xx&sort=evil&rows=x&page=-3&cell=none&loss=abc", "#c-none", "#%%%"]
)
def test_a_strange_address_shows_the_page(browser: Browser, reports: dict[str, Path], fragment: str) -> None:
    opened = Opened(browser, reports["en"], fragment)
    expect(opened.page.locator("tr.row")).to_have_count(32)
    assert opened.complaints == []


def test_a_cell_has_a_page(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.get_by_role("button", name="Details of onnxruntime int8-dynamic").nth(1).click()
    page.get_by_role("link", name="This cell on a page of its own").first.click()
    expect(page.get_by_role("heading", name="minilm-ner: int8-dynamic, onnxruntime")).to_be_focused()
    for heading in ("Latency", "Phases", "Memory, MB", "Quality", "Artifact", "Image", "Measure this row again"):
        expect(page.locator("#cell").get_by_role("heading", name=heading, exact=True)).to_be_visible()
    expect(page.locator("form.filters")).to_be_hidden()
    alone = Opened(browser, reports["en"], page.url[page.url.index("#") :]).page
    assert words(alone, "#cell .own") == words(page, "#cell .own")
    page.go_back()
    expect(page.locator("form.filters")).to_be_visible()
    alone.get_by_role("button", name="All cells").click()
    expect(alone.locator("form.filters")).to_be_visible()


def test_a_cells_page_has_its_own_title(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    title = page.title()
    anchor = page.locator("tr.row").nth(12).get_attribute("id")
    alone = Opened(browser, reports["en"], f"#cell={anchor}").page
    expect(alone).to_have_title(re.compile(rf"^[\w-]+: [\w-]+, \w+ · {title}$"))
    alone.get_by_role("button", name="All cells").click()
    expect(alone).to_have_title(title)


def test_a_failed_cells_page_tells_why(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    anchor = page.locator("tr.row[data-status=crashed]").get_attribute("id")
    alone = Opened(browser, reports["en"], f"#cell={anchor}").page
    expect(alone.locator("#cell")).to_contain_text("Check failed at core.cpp:142")
    expect(alone.locator("#cell pre").first).to_contain_text("not <b>here</b>")


@pytest.mark.parametrize(("one", "other"), [("en", "ru"), ("ru", "en")])
def test_the_other_language_says_what_a_report_in_it_says(
    browser: Browser, reports: dict[str, Path], one: str, other: str
) -> None:
    page, there = Opened(browser, reports[one]).page, Opened(browser, reports[other]).page
    page.locator("[name=language]").select_option(other)
    assert page.locator("html").get_attribute("lang") == other
    everything = r"document.querySelector('main').textContent.replace(/\s+/g, ' ')"
    assert page.evaluate(everything) == there.evaluate(everything)
    labels = "[...document.querySelectorAll('[aria-label], [title]')].map(e => [e.ariaLabel, e.title])"
    assert page.evaluate(labels) == there.evaluate(labels)
    page.locator("[name=language]").select_option(one)
    assert page.evaluate(everything) == Opened(browser, reports[one]).page.evaluate(everything)


def test_dark_mode_follows_the_system_and_the_reader(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"], color_scheme="dark").page
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    assert dark == "rgb(20, 23, 26)"
    page.locator("[name=theme]").select_option("light")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.locator("[name=theme]").select_option("dark")
    assert page.evaluate(paper) == dark
