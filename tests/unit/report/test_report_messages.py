import re
import string
from pathlib import Path

import pytest

from harness.report.language import catalogue as messages
from harness.report.language.voice import HtmlVoice, Voice
from harness.results import Status

REPORT = Path(messages.__file__).parents[1]
SOURCES = "\n".join(p.read_text("utf-8") for p in REPORT.rglob("*") if p.suffix in (".py", ".jinja", ".js"))


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def forms(message: str | list[str]) -> list[str]:
    return [message] if isinstance(message, str) else message


def test_every_message_has_both_languages_and_the_same_placeholders() -> None:
    english, russian = messages.catalogue("en"), messages.catalogue("ru")
    assert english.keys() == russian.keys()
    for key in english:
        assert isinstance(english[key], str) == isinstance(russian[key], str), key
        expected = placeholders(forms(english[key])[0])
        assert all(placeholders(form) == expected for form in [*forms(english[key]), *forms(russian[key])]), key


@pytest.mark.parametrize("language", messages.FORMS)
def test_plural_messages_have_every_form_of_their_language(language: str) -> None:
    count = messages.FORMS[language][1]
    for key, message in messages.catalogue(language).items():
        assert isinstance(message, str) or len(message) == count, key


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "ячеек"), (1, "ячейка"), (2, "ячейки"), (5, "ячеек"), (11, "ячеек"), (12, "ячеек"), (21, "ячейка"),
     (22, "ячейки"), (25, "ячеек"), (111, "ячеек"), (112, "ячеек"), (101, "ячейка")],
)  # fmt: skip
def test_russian_plurals(count: int, expected: str) -> None:
    assert Voice("ru", str, str)("cells", count) == f"{count} {expected}"


def test_english_plurals() -> None:
    say = Voice("en", str, str)
    assert [say("cells", n) for n in (0, 1, 2)] == ["0 cells", "1 cell", "2 cells"]


def test_every_key_that_is_used_exists() -> None:
    exact = set(re.findall(r'(?:\bsay|Message\.of|Message)\(\s*"([a-z0-9_.-]+)"[,)\s]', SOURCES))
    assert {key for key in exact if not key.endswith(".")} <= set(messages.catalogue("en"))


def test_every_key_is_used() -> None:
    quoted = set(re.findall(r'"([a-z0-9_.-]+)"', SOURCES))
    prefixes = set(re.findall(r'"([a-z]+\.)" ~', SOURCES)) | set(re.findall(r'f"([a-z]+[.-][a-z-]*)\{', SOURCES))
    prefixes |= set(re.findall(r"`([a-z]+\.)\$\{", SOURCES))
    unused = set(messages.catalogue("en")) - quoted
    assert {key for key in unused if not key.startswith(tuple(prefixes))} == set()


def test_every_status_has_a_word() -> None:
    assert {f"status.{status}" for status in Status} <= set(messages.catalogue("en"))


def test_a_plural_needs_its_count() -> None:
    with pytest.raises(KeyError, match="plural"):
        messages.template("en", "cells")


def test_html_arguments_are_escaped_and_numbers_set_in_bold() -> None:
    say = HtmlVoice("en")
    argument = '<span data-arg="device">&lt;b&gt;\\u202e</span>'
    expected = f'<span data-say="missing.own-row">measured on {argument}, in a row of its own</span>'
    assert say("missing.own-row", device="<b>\u202e") == expected
    message = messages.Message.of("ratio.smaller", ratio="2.1× [1.9, 2.3]")
    assert "<b>2.1×</b> [1.9, 2.3]</span> smaller" in say.message(message, emphasise=True)


def test_a_name_without_a_message_is_told_as_it_is_recorded() -> None:
    say = HtmlVoice("en")
    assert "first inference" in say.named("phase.first_inference", "first_inference")
    assert say.named("phase.<b>", "<b>") == "&lt;b&gt;"
