"""A page of the report, opened: what it asked for, what it complained about, and what it says."""

import os

import pytest

if not os.environ.get("MATRIX_REQUIRE_BROWSER"):
    pytest.importorskip("playwright")

from pathlib import Path

from playwright.sync_api import Browser, Page, expect


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


def words(page: Page, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(selector).all_text_contents()]


def slide(page: Page, name: str, value: str) -> None:
    page.locator(f"form.limits [name={name}]").fill(value)


def pick(page: Page, model: int, name: str) -> str:
    return page.locator(f".picks[data-group='{model}'] div", has_text=name).locator("dd").inner_text()
