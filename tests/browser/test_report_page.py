"""The page in a real browser. Needs Debian's chromium; ``MATRIX_REQUIRE_BROWSER=1`` makes its absence a failure."""

import csv
import io
import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_plus

import pytest

from harness import report, stats
from harness.report import numbers
from harness.report.html import TEMPLATES
from harness.results import Results
from tests.results_factory import hostile, many, results

pytestmark = pytest.mark.browser
if not os.environ.get("MATRIX_REQUIRE_BROWSER"):
    pytest.importorskip("playwright")

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
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
    other = results().model_copy(update={"baseline": {"method": "original", "runtime": "onnxruntime"}})
    few = results(rounds=2, seed=3)
    runs = {
        "en": results(),
        "ru": results(language="ru"),
        "hostile": hostile(),
        "few": few,
        "other": other,
        "many": many(450),
    }
    paths = {name: written(run, tmp_path_factory.mktemp(name)) for name, run in runs.items()}
    return {**paths, "compared": written(results(seed=8), tmp_path_factory.mktemp("compared"), before=results())}


def written(run: Results, folder: Path, before: Results | None = None) -> Path:
    report.render(run, folder, before)
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
        if context.get("java_script_enabled", True) and self.page.locator("form.filters").count():
            expect(self.page.locator("form.filters output")).not_to_be_empty()  # the script has begun


def order(page: Page, model: str) -> list[str]:
    rows = page.locator(f"tr.row[data-model='{model}']")
    return [f"{row.get_attribute('data-method')} {row.get_attribute('data-runtime')}" for row in rows.all()]


def latencies(page: Page, model: str) -> list[float]:
    values = page.locator(f"tr.row[data-model='{model}'] [data-column=cpu_ms] .value")
    return [float(text.split()[0]) for text in values.all_inner_texts()]


def slide(page: Page, name: str, value: str) -> None:
    page.locator(f"form.limits [name={name}]").fill(value)


def pick(page: Page, model: int, name: str) -> str:
    return page.locator(f".picks[data-group='{model}'] div", has_text=name).locator("dd").inner_text()


def words(page: Page, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(selector).all_text_contents()]


@pytest.mark.parametrize("name", ["en", "ru", "hostile", "few", "many", "compared"])
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


# --- the table ----------------------------------------------------------------------------------------------------------


def test_sorting_puts_numbers_in_order_and_failures_last(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    header = page.locator("th[data-column=cpu_ms]")
    header.get_by_role("button", name="CPU, ms").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    assert latencies(page, "minilm-ner") == sorted(latencies(page, "minilm-ner"))
    header.get_by_role("button", name="CPU, ms").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    assert latencies(page, "minilm-ner") == sorted(latencies(page, "minilm-ner"), reverse=True)
    last = page.locator("tr.row[data-model='minilm-ner']").nth(9)
    expect(last).to_have_attribute("data-status", "unsupported")
    expect(page.locator("th[aria-sort]:not([aria-sort=none])")).to_have_count(1)


def test_details_stay_with_their_row_when_sorted(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.locator("th[data-column=quality] [data-sort]").click()
    pairs = page.evaluate("[...document.querySelectorAll('tr.row')].map(r => [r.id, r.nextElementSibling.id])")
    assert all(detail == f"d{row}" for row, detail in pairs)


def test_filters_combine_and_reset(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.get_by_role("combobox", name="Runtime").select_option("onnxruntime")
    page.get_by_role("combobox", name="Status").select_option("unsupported")
    expect(page.locator("tr.row:visible")).to_have_count(3)
    expect(page.locator("form.filters output")).to_have_text("3 of 32 rows")
    page.get_by_role("combobox", name="Method").select_option("original")
    expect(page.get_by_text("No row fits these filters.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("tr.row:visible")).to_have_count(32)


def test_words_find_rows_and_fade_the_points_of_others(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.get_by_label("Find").fill("Int8-Dynamic onnx")
    expect(page.locator("tr.row:visible")).to_have_count(3)
    assert page.locator(".chart a:not(.off)").count() == 3
    assert page.locator(".chart a.off").count() > 3


def test_columns_can_be_chosen(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    expect(page.locator("th[data-column=vram]")).to_be_hidden()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("VRAM, MB").check()
    page.get_by_label("zstd, MB").uncheck()
    expect(page.locator("th[data-column=vram]")).to_be_visible()
    expect(page.locator("[data-column=zstd]:visible")).to_have_count(0)


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


@pytest.mark.parametrize("name", ["en", "few", "hostile"])
def test_a_baseline_chosen_twice_says_what_the_server_said(
    browser: Browser, reports: dict[str, Path], name: str
) -> None:
    page = Opened(browser, reports[name]).page
    told = words(page, "tr.row")
    baseline = page.locator("[name=baseline]")
    own = baseline.input_value()
    baseline.select_option(index=4 if name != "hostile" else 1)
    assert words(page, "tr.row") != told
    baseline.select_option(own)
    assert words(page, "tr.row") == told


def test_another_baseline_says_what_a_report_with_that_baseline_says(
    browser: Browser, reports: dict[str, Path]
) -> None:
    page = Opened(browser, reports["en"]).page
    page.locator("[name=baseline]").select_option("original onnxruntime")
    there = Opened(browser, reports["other"]).page
    assert words(page, "table.cells caption") == words(there, "table.cells caption")
    assert words(page, "tr.row td, tr.row th small") == words(there, "tr.row td, tr.row th small")


def test_a_long_table_has_pages(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["many"]).page
    expect(page.locator("tr.row")).to_have_count(100)
    expect(page.locator("nav.pages output")).to_have_text("page 1 of 5")
    first = page.locator("tr.row").first.get_attribute("id")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("nav.pages output")).to_have_text("page 2 of 5")
    assert page.locator("tr.row").first.get_attribute("id") != first
    page.locator("[name=rows]").select_option("all")
    expect(page.locator("tr.row")).to_have_count(450)
    expect(page.locator("nav.pages")).to_be_hidden()


def test_a_packed_row_opens_and_has_its_address(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["many"]).page
    page.locator("[name=rows]").select_option("all")
    anchor = page.locator("tr.row").nth(440).get_attribute("id")
    there = Opened(browser, reports["many"], f"#{anchor}").page
    expect(there.locator(f"tr[id='{anchor}']")).to_be_in_viewport()
    expect(there.locator(f"tr[id='d{anchor}'] .cards")).to_be_visible()
    alone = Opened(browser, reports["many"], f"#cell={anchor}").page
    expect(alone.locator("#cell .cards")).to_be_visible()


# --- the picks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["en", "few", "hostile", "many"])
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
    everything = "document.querySelector('main').textContent.replace(/\\s+/g, ' ')"
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


# --- what can be taken away ---------------------------------------------------------------------------------------------


def saved(page: Page, kind: str) -> str:
    if not page.get_by_role("button", name=kind, exact=True).is_visible():
        page.get_by_text("Export", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name=kind, exact=True).click()
    return download.value.path().read_text("utf-8")


def test_the_view_can_be_taken_as_a_file(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.get_by_role("combobox", name="Model").select_option("minilm-ner")
    page.get_by_role("combobox", name="Status").select_option("ok")
    page.locator("th[data-column=cpu_ms] [data-sort]").click()
    data = json.loads(saved(page, "JSON"))
    assert [f"{row['method']} {row['runtime']}" for row in data] == order(page, "minilm-ner")
    lines = list(csv.DictReader(io.StringIO(saved(page, "CSV"))))
    assert [float(line["latency_p50_ms"]) for line in lines] == [row["latency_ms"][0] for row in data]
    assert len(saved(page, "Markdown").splitlines()) == len(data) + 2
    latex = saved(page, "LaTeX")
    assert latex.count("\\\\") == len(data) + 1
    assert "int8-dynamic & onnxruntime & cpu & ok" in latex


def test_hostile_strings_stay_in_their_cells(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["hostile"]).page
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in saved(page, "Markdown").splitlines()}) == 1
    assert len(list(csv.reader(io.StringIO(saved(page, "CSV"))))) == 4
    assert not re.search(r"(?<!\\)[%#_]", saved(page, "LaTeX").partition("\\midrule")[2])


# --- for everybody ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["en", "ru", "compared"])
def test_the_page_is_accessible(browser: Browser, reports: dict[str, Path], name: str, scheme: str) -> None:
    page = Opened(browser, reports[name], color_scheme=scheme).page
    for button in page.locator(".more").all()[:12]:
        button.click()
    for summary in page.locator(".tools summary").all():
        summary.click()
    assert findings(page) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_a_cell_is_accessible(browser: Browser, reports: dict[str, Path], width: int) -> None:
    page = Opened(browser, reports["en"], viewport={"width": width, "height": 780}).page
    anchor = page.locator("tr.row").nth(12).get_attribute("id")
    alone = Opened(browser, reports["en"], f"#cell={anchor}", viewport={"width": width, "height": 780}).page
    expect(alone.locator("#cell .cards")).to_be_visible()
    assert findings(alone) == []


def findings(page: Page) -> list[str]:
    """What axe-core objects to, whatever its impact."""
    found = Axe().run(page).response["violations"]
    return [f"{each['impact']} {each['id']}: {[node['html'][:160] for node in each['nodes'][:3]]}" for each in found]


def test_every_head_and_status_explains_itself(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    for button in page.locator(".explain:visible").all():
        button.click()
        explanation = page.locator(f"#{button.get_attribute('popovertarget')}")
        expect(explanation).to_be_visible()
        assert explanation.inner_text().count(".") >= 2
        target = explanation.get_by_role("link").get_attribute("href") or ""
        assert page.locator(target).count() == 1
        page.keyboard.press("Escape")
        expect(explanation).to_be_hidden()


def test_everything_can_be_done_with_the_keyboard(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the table")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Find")).to_be_focused()
    page.keyboard.type("minilm")
    expect(page.locator("tr.row:visible")).to_have_count(12)
    page.locator("th[data-column=weights] [data-sort]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[data-column=weights]")).to_have_attribute("aria-sort", "ascending")
    page.locator("form.limits [name=loss]").focus()
    before = pick(page, 1, "Fastest")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    assert pick(page, 1, "Fastest") != before


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
@pytest.mark.parametrize("name", ["en", "ru", "hostile", "compared"])
def test_the_page_never_scrolls_sideways(browser: Browser, reports: dict[str, Path], name: str, width: int) -> None:
    page = Opened(browser, reports[name], viewport={"width": width, "height": 780}).page
    page.evaluate("document.querySelectorAll('.more').forEach(button => button.click())")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    anchor = page.locator("tr.row").first.get_attribute("id")
    alone = Opened(browser, reports[name], f"#cell={anchor}", viewport={"width": width, "height": 780}).page
    assert alone.evaluate("document.documentElement.scrollWidth") <= width


def test_touch_targets_are_large_on_a_phone(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"], viewport={"width": 360, "height": 780}).page
    for control in page.locator("select:visible, thead [data-sort]:visible, .filters button, .limits button").all():
        box = control.bounding_box()
        assert box
        assert box["height"] >= 44


def test_hostile_strings_are_shown_as_text(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["hostile"]).page
    assert page.locator("img").count() == 0
    expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=alert(1)>|</script>\\u202e evil")
    anchor = page.locator("tr.row").nth(1).get_attribute("id")
    alone = Opened(browser, reports["hostile"], f"#cell={anchor}").page
    expect(alone.locator("#cell h2")).to_contain_text("<img src=x onerror=alert(1)>|</script>")
    assert alone.locator("img").count() == 0


def test_without_script_everything_can_be_read(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"], java_script_enabled=False).page
    expect(page.locator("tr.row")).to_have_count(32)
    page.locator("tr.detail summary").first.click()
    expect(page.locator("tr.detail .cards").first).to_be_visible()
    expect(page.locator("form.filters")).to_be_hidden()
    expect(page.locator("form.limits")).to_be_hidden()
    expect(page.locator(".picks").first).to_be_visible()


def test_print_keeps_the_table_and_drops_the_controls(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"]).page
    page.emulate_media(media="print")
    expect(page.locator("form.filters")).to_be_hidden()
    expect(page.locator("tr.row:visible")).to_have_count(32)


def test_an_earlier_run_is_compared_on_the_page(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["compared"]).page
    section = page.get_by_role("region", name="What changed since the run of")
    expect(section).to_contain_text("Cells in both runs: 32.")


# --- what stands twice --------------------------------------------------------------------------------------------------


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
    ratios = [(abs(v), (abs(v) * 0.9, abs(v) * 1.2)) for v, _ in cases]
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
