"""The report's words in English and Russian.

One JSON file a language, not gettext: a checkout and a wheel then hold the same files, with no compiled ``.mo`` between
(which would need a build step in every environment), and a page can carry both languages as they are. A plural message
is a list of forms in the order of ``FORMS``. A test holds both files to the same keys, placeholders and forms.
Statuses, column names in data files, methods and runtimes are identifiers and stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "locale"


def _english(n: int) -> int:
    return int(n != 1)


def _russian(n: int) -> int:
    """One (1, 21), few (2-4, 22), many (0, 5-20, 25): the forms of Unicode CLDR for whole numbers."""
    if n % 10 == 1 and n % 100 != 11:
        return 0
    return 1 if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14) else 2


#: Language -> which plural form a count takes, and how many forms there are.
FORMS: dict[str, tuple[Callable[[int], int], int]] = {"en": (_english, 2), "ru": (_russian, 3)}


@cache
def catalogue(language: str) -> dict[str, str | list[str]]:
    """All messages of a language by key."""
    messages: dict[str, str | list[str]] = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
    return messages


@dataclass(frozen=True)
class Word:
    """A name whose words are not in the catalogue: the results or a column bring them. See ``vocabulary.py``.

    ``kind`` is ``metric``, ``task``, ``field`` (of a workload, with its ``value``), ``machine``, ``column``, ``course`` (its
    heading in README.md) or ``about`` (what a column is).
    """

    kind: str
    name: str
    value: int | None = None

    @property
    def key(self) -> str:
        """Kind and name in one."""
        return f"{self.kind}.{self.name}"


@dataclass(frozen=True)
class Message:
    """A message by key with what fills its placeholders: text that is not yet in a language."""

    key: str
    arguments: Mapping[str, str | Word]

    @classmethod
    def of(cls, key: str, **arguments: str | Word) -> Message:
        """Shorthand with keyword arguments."""
        return cls(key, arguments)

    @classmethod
    def verbatim(cls, text: str | Word) -> Message:
        """Text that is shown as it came: a reason from a log, in whatever language; or a bare word."""
        return cls("verbatim", {"text": text})


def template(language: str, key: str, count: int | None = None) -> str:
    """The text of ``key``, its placeholders unfilled. A plural message needs a ``count`` (else KeyError)."""
    message = catalogue(language)[key]
    if isinstance(message, str):
        return message
    if count is None:
        raise KeyError(f"{key} is a plural message and needs a count")
    return message[FORMS[language][0](count)]
