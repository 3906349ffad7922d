"""The feed and the page of a site's history: well-formed, self-contained, and text from outside stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from xml.etree import ElementTree

import pytest

from harness.report.history.feed import as_atom
from harness.report.history.runs import History, as_json
from harness.report.history.trends import told
from harness.report.html.history_page import render_history
from harness.report.language.voice import Voice
from tests.history_factory import MONDAY, RUN, TUESDAY, at, history, three
from tests.results_factory import HOSTILE, hostile, results

ATOM = "{http://www.w3.org/2005/Atom}"
SAY = Voice("en", str, str)


@pytest.fixture(scope="module", name="three")
def _three() -> History:
    return three()


# --- the feed -----------------------------------------------------------------------------------------------------------


def feed(found: History, url: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(as_atom(found, url))


def test_the_feed_has_an_entry_a_run_with_what_changed(three: History) -> None:
    root = feed(three)
    entries = root.findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}updated") for entry in entries] == [
        f"2026-11-{day}T04:12:09+00:00" for day in (25, 24, 23)
    ]
    assert entries[0].findtext(f"{ATOM}title") == "Compression matrix, 2026-11-25 04:12 UTC"
    assert entries[0].findtext(f"{ATOM}summary") == told(three.comparisons[0], SAY)


def test_the_feed_has_all_that_rfc_4287_requires(three: History) -> None:
    root = feed(three)
    for element in (root, *root.findall(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1
    assert root.findtext(f"{ATOM}author/{ATOM}name")
    for entry in root.findall(f"{ATOM}entry"):
        assert [link.get("rel") for link in entry.findall(f"{ATOM}link")] == ["alternate"]


def test_ids_are_uuids_that_stay_when_a_run_is_published_again(three: History) -> None:
    ids = [element.text or "" for element in feed(three).iter(f"{ATOM}id")]
    assert len(set(ids)) == len(ids) == 4
    assert all(
        re.fullmatch(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", id) for id in ids
    )
    again = history(at("2026-11-25T05:12:09+01:00"), at(TUESDAY))  # the same moment in another zone
    assert [element.text for element in feed(again).iter(f"{ATOM}id")] == ids[:3]


def test_links_are_relative_unless_the_site_has_an_address(three: History) -> None:
    relative = [link.get("href") or "" for link in feed(three).iter(f"{ATOM}link")]
    assert relative[:2] == ["feed.xml", "index.html"]
    page = render_history(three)
    assert all(f'id="{link.removeprefix("history.html#")}"' in page for link in relative[2:])
    absolute = [link.get("href") for link in feed(three, "https://example.org/x/").iter(f"{ATOM}link")]
    assert absolute == [f"https://example.org/x/{link}" for link in relative]


# --- the page -----------------------------------------------------------------------------------------------------------


def test_the_page_has_a_line_for_every_cell_and_an_entry_for_every_run(three: History) -> None:
    page = render_history(three)
    assert page.count('<tr class="trend"') == len(RUN.cells)
    assert page.count("<li id=") == 3


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_says_everything_in_the_language_of_the_results(language: str) -> None:
    run = results(language=language)
    page = render_history(history(at(TUESDAY, run), at(MONDAY, run)))
    assert f'<html lang="{language}">' in page
    assert ("Against the run before" in page) is (language == "en")
    assert ("Относительно предыдущего" in page) is (language == "ru")


def test_the_policy_names_the_only_style_and_there_is_no_script(three: History) -> None:
    page = render_history(three)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page
    assert "<script" not in page
    assert not re.search(r"\s(?:src|style|on\w+)=", page)


def test_hostile_strings_stay_text() -> None:
    one = hostile()
    found = history(at(TUESDAY, one, host=HOSTILE), at(MONDAY, one))
    page, atom = render_history(found), as_atom(found)
    for text in (page, atom):
        assert "<img" not in text
        assert "\u202e" not in text
    assert "</script>" not in page
    ElementTree.fromstring(atom)
    assert HOSTILE in json.loads(as_json(found))["cells"]


def test_what_no_xml_can_hold_is_written_out() -> None:
    odd = RUN.model_copy(update={"title": "a\ufffe\uffff\x00b"})
    assert feed(history(at(MONDAY, odd))).findtext(f"{ATOM}title") == "a\\ufffe\\uffff\\u0000b"
