"""Texts in 25 languages: the messages of Django's interface, as its translators wrote them.

One message is one text. All its translations are in the same split, so training never shows what a held-out text says.
Placeholders, tags and entities are removed. A text that two languages share is dropped from both. Some languages are close
(Czech and Slovak, Danish and Swedish, Bulgarian, Russian and Ukrainian), and many texts have only a few words.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.contracts.task import Row
from harness.zoo import PinnedFile

_WHEEL = "37e687f7bd73ddf043e2b6b97cfe02fcbb11f2dbb3adccc6a2b18c6daa054d7f"
_FOLDERS = {
    "core": "conf",
    "admin": "contrib/admin",
    "admindocs": "contrib/admindocs",
    "auth": "contrib/auth",
    "gis": "contrib/gis",
    "postgres": "contrib/postgres",
}

TASK = "text-classification"
SOURCES = {name: PinnedFile(f"pypi:django==5.2.8/django/{path}/locale", _WHEEL) for name, path in _FOLDERS.items()}

LANGUAGES = (
    "bg", "ca", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "hu", "id",
    "it", "lt", "lv", "nl", "pl", "pt", "ro", "ru", "sk", "sv", "tr", "uk",
)  # fmt: skip
_LETTERS = 12  # the fewest of a text
_HELD_OUT = 5  # every fifth message
_MOST = {"train": 220, "evaluate": 40}  # texts of each language

#: One field of an entry: its keyword, and its strings, each on a line of its own.
_FIELD = re.compile(r'^(msgid|msgstr) ((?:"(?:[^"\\]|\\.)*"\s*)+)', re.M)
_ESCAPED = re.compile(r"\\(.)")
_NO_PROSE = re.compile(r"%\(\w+\)[a-z]|%[a-z%]|\{[^}]*\}|<[^>]+>|&\w+;")


def rows(split: str, sources: Mapping[str, Path]) -> list[Row]:
    """``text`` and ``label``, the language's code: 220 texts a language to train on, 40 held out."""
    texts = {language: _texts(language, sources) for language in LANGUAGES}
    times = Counter(folded for found in texts.values() for folded in {text.casefold() for text in found.values()})
    chosen: list[Row] = []
    for language, found in texts.items():
        parts: dict[str, dict[str, str]] = {"train": {}, "evaluate": {}}  # by their case-folded form: each text once
        for message, text in sorted(found.items()):
            if times[text.casefold()] == 1:
                parts[owner(message)].setdefault(text.casefold(), text)
        parts["evaluate"] = {folded: text for folded, text in parts["evaluate"].items() if folded not in parts["train"]}
        chosen += [{"text": text, "label": language} for text in list(parts[split].values())[: _MOST[split]]]
    return chosen


def owner(message: str) -> str:
    """The split of a message, given as it is in English, and so of all its translations."""
    return "train" if hashlib.sha256(message.casefold().encode()).digest()[0] % _HELD_OUT else "evaluate"


def _texts(language: str, sources: Mapping[str, Path]) -> dict[str, str]:
    """The prose of a language's messages, by the message in English."""
    found: dict[str, str] = {}
    for folder in sources.values():
        for file in sorted((folder / language / "LC_MESSAGES").glob("*.po")):
            for message, translation in entries(file.read_text("utf-8")):
                text = prose(message if language == "en" else translation)
                if sum(map(str.isalpha, text)) >= _LETTERS:
                    found.setdefault(prose(message), text)
    return found


def entries(catalog: str) -> Iterator[tuple[str, str]]:
    """Messages and their translations in a ``.po`` file; those that are plural, or marked as fuzzy, are left out.

    Source: the GNU gettext manual, "The Format of PO Files".
    """
    for entry in re.split(r"\n\s*\n", catalog):
        if re.search(r"^#,.*\bfuzzy\b", entry, re.M) or "\nmsgid_plural " in entry:
            continue
        fields = {match[1]: _string(match[2]) for match in _FIELD.finditer(entry)}
        if fields.get("msgid"):  # that of the header is empty
            yield fields["msgid"], fields.get("msgstr", "")


def prose(message: str) -> str:
    """A message without placeholders, tags and entities, on one line."""
    return " ".join(_NO_PROSE.sub(" ", message).split())


def _string(quoted: str) -> str:
    """The text of one or more strings as they are written in C."""
    joined = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', quoted))
    return _ESCAPED.sub(lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), joined)
