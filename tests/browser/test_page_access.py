"""The page for everybody: by keyboard, by ear, on a phone, on paper, without a script, whatever the strings in it."""

from pathlib import Path

import pytest

from tests.browser.opened import Browser, Opened, Page, expect, pick

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["en", "ru", "compared", "two"])
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
    from axe_playwright_python.sync_playwright import Axe

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
@pytest.mark.parametrize("name", ["en", "ru", "hostile", "compared", "two"])
def test_the_page_never_scrolls_sideways(browser: Browser, reports: dict[str, Path], name: str, width: int) -> None:
    page = Opened(browser, reports[name], viewport={"width": width, "height": 780}).page
    page.evaluate("document.querySelectorAll('.more').forEach(button => button.click())")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    anchor = page.locator("tr.row").first.get_attribute("id")
    alone = Opened(browser, reports[name], f"#cell={anchor}", viewport={"width": width, "height": 780}).page
    assert alone.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_of_a_cell_has_margins_on_a_phone(browser: Browser, reports: dict[str, Path]) -> None:
    page = Opened(browser, reports["en"], viewport={"width": 360, "height": 780}).page
    anchor = page.locator("tr.row").nth(12).get_attribute("id")
    alone = Opened(browser, reports["en"], f"#cell={anchor}", viewport={"width": 360, "height": 780}).page
    for part in alone.locator("#cell .facts dt:visible, #cell h3:visible, #cell .headline-figures dt:visible").all():
        box = part.bounding_box()
        assert box
        assert box["x"] >= 12
        assert box["x"] + box["width"] <= 360 - 12


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
