"""The runs of a site as an Atom feed (RFC 4287): one entry a run, newest first."""

from __future__ import annotations

import uuid
from xml.etree.ElementTree import Element, SubElement, tostring

from harness.report.history.runs import History, PastRun
from harness.report.history.trends import told
from harness.report.language.voice import Voice
from harness.report.table.columns import vocabulary
from harness.untrusted_text import one_line


def as_atom(history: History, url: str = "") -> str:
    """The feed in the language of the newest results. Links are relative to the feed, or below ``url``.

    Ids are UUIDs of what they stand for, so that they hold wherever the site is served from.
    """
    say = Voice(history.newest.results.language, str, str, vocabulary(history.newest.results))
    base = f"{url.rstrip('/')}/" if url else ""
    title = one_line(history.newest.results.title)
    feed = Element("feed", {"xmlns": "http://www.w3.org/2005/Atom", "xml:lang": history.newest.results.language})
    _text(feed, "id", uuid.uuid5(uuid.NAMESPACE_OID, f"compression-matrix feed {title}").urn)
    _text(feed, "title", title)
    _text(feed, "updated", history.newest.when.isoformat())
    SubElement(SubElement(feed, "author"), "name").text = "Compression Matrix"
    SubElement(feed, "link", {"rel": "self", "type": "application/atom+xml", "href": f"{base}feed.xml"})
    SubElement(feed, "link", {"rel": "alternate", "type": "text/html", "href": f"{base}index.html"})
    for run, found in zip(history.runs, history.comparisons, strict=True):
        _entry(feed, run, told(found, say), base)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(feed, encoding="unicode")}\n'


def _entry(feed: Element, run: PastRun, summary: str, base: str) -> None:
    entry = SubElement(feed, "entry")
    _text(entry, "id", run.identity.urn)
    _text(entry, "title", f"{one_line(run.results.title)}, {run.date}")
    _text(entry, "updated", run.when.isoformat())
    _text(entry, "summary", summary)
    SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": f"{base}history.html#{run.anchor}"})


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text
