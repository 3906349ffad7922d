"""The table in a real browser: order, filters, columns, pages, ratios, and what can be taken away."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from harness.report.table import columns
from harness.report.table.column import TableColumn
from tests.browser.conftest import written
from tests.browser.opened import Browser, Opened, Page, expect, words
from tests.results_factory import results

pytestmark = pytest.mark.browser


def order(page: Page, model: str) -> list[str]:
    rows = page.locator(f"tr.row[data-model='{model}']")
    return [f"{row.get_attribute('data-method')} {row.get_attribute('data-runtime')}" for row in rows.all()]


def latencies(page: Page, model: str) -> list[float]:
    values = page.locator(f"tr.row[data-model='{model}'] [data-column=cpu_ms] .value")
    return [float(text.split()[0]) for text in values.all_inner_texts()]


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
    for text in ("onnx int8", "INT8  onnx minilm", "token-classification onnxruntime int8"):
        page.get_by_label("Find").fill(text)
        assert {row.get_attribute("data-runtime") for row in page.locator("tr.row:visible").all()} == {"onnxruntime"}
    page.get_by_label("Find").fill("int8 nowhere")
    expect(page.locator("tr.row:visible")).to_have_count(0)


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


def test_rows_of_two_machines_have_a_column_and_a_filter(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["two"]).page
    expect(page.locator("th[data-column=machine]")).to_be_visible()
    page.locator("[name=machine]").select_option(label="lab <b>two")
    expect(page.locator("tr.row:visible")).to_have_count(23)
    assert set(words(page, "tr.row td[data-column=machine]")) == {"lab <b>two"}
    page.locator("th[data-column=machine] [data-sort]").click()
    expect(page.locator("th[data-column=machine]")).to_have_attribute("aria-sort", "ascending")
    expect(Opened(browser, reports["en"]).page.locator("th[data-column=machine]")).to_be_hidden()


def test_a_column_that_is_added_can_be_sorted_and_taken_away(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = TableColumn(
        "calls",
        {"en": "Calls", "ru": "Вызовы"},
        lambda cell: sum(each.median_ms for each in cell.latency_ms.rounds) if cell.latency_ms else None,
        data=("calls",),
        descending=True,
    )
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, samples))
    opened = Opened(browser, written(results(), tmp_path))
    page = opened.page
    page.locator("th[data-column=calls] [data-sort]").click()
    expect(page.locator("th[data-column=calls]")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("combobox", name="Model").select_option("minilm-ner")
    found = [row["calls"] for row in json.loads(saved(page, "JSON")) if row["calls"] is not None]
    assert found == sorted(found, reverse=True)
    assert len(found) > 5
    lines = list(csv.DictReader(io.StringIO(saved(page, "CSV"))))
    assert [float(line["calls"]) for line in lines if line["calls"]] == found
    assert "calls" in saved(page, "Markdown").splitlines()[0]
    assert "calls" in saved(page, "LaTeX")
    assert opened.complaints == []


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
    assert [float(line["latency_p50_ms"]) for line in lines] == [row["latency_p50_ms"] for row in data]
    assert len(saved(page, "Markdown").splitlines()) == len(data) + 2
    latex = saved(page, "LaTeX")
    assert latex.count("\\\\") == len(data) + 1
    assert "int8-dynamic & onnxruntime & cpu & ok" in latex


def test_hostile_strings_stay_in_their_cells(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["hostile"]).page
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in saved(page, "Markdown").splitlines()}) == 1
    assert len(list(csv.reader(io.StringIO(saved(page, "CSV"))))) == 4
    assert not re.search(r"(?<!\\)[%#_]", saved(page, "LaTeX").partition("\\midrule")[2])
