"""A language's voice for the templates: messages filled in, escaped for where they go."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from markupsafe import Markup

from harness.report.language.catalogue import Message, template
from harness.report.language.untrusted_text import visible

#: Placeholders that hold what ``numbers.py`` wrote: the point of a sentence, its estimate set in bold.
NUMBERS = {"speed", "ratio", "difference"}


class Voice:
    """Fills messages of one language; ``escape`` makes text from outside safe, ``bold`` marks what matters."""

    def __init__(self, language: str, escape: Callable[[str], str], bold: Callable[[str], str]) -> None:
        self.language = language
        self._escape = escape
        self._bold = bold

    def __call__(self, key: str, count: int | None = None, **arguments: str) -> str:
        """The message of a key; ``count`` chooses the plural form and fills ``{count}``."""
        if count is not None:
            arguments.setdefault("count", str(count))
        return self._fill(template(self.language, key, count), arguments, emphasise=False)

    def message(self, message: Message, count: int | None = None, *, emphasise: bool = False) -> str:
        """The text of a message, its point in bold if asked."""
        return self._fill(template(self.language, message.key, count), message.arguments, emphasise)

    def workload(self, workload: Mapping[str, int]) -> str:
        """``batch 1, 128 tokens``."""
        return ", ".join(self._workload_field(name, value) for name, value in workload.items())

    def named(self, key: str, name: str) -> str:
        """The message of a key, such as that of a phase; where there is none, the name as it is recorded."""
        try:
            return self(key)
        except KeyError:
            return self._escape(name)

    def _workload_field(self, name: str, value: int) -> str:
        try:
            return self(f"workload.{name}", value=str(value))
        except KeyError:
            return self("workload.other", name=name, value=str(value))

    def _fill(self, text: str, arguments: Mapping[str, str], emphasise: bool) -> str:
        return text.format_map({name: self._argument(name, value, emphasise) for name, value in arguments.items()})

    def _argument(self, name: str, value: str, emphasise: bool) -> str:
        if name not in NUMBERS:
            return value if isinstance(value, Markup) else self._escape(value)
        estimate, bracket, interval = value.partition(" [")
        return f"{self._bold(estimate) if emphasise else estimate}{bracket}{interval}"


class HtmlVoice(Voice):
    """Messages as markup: arguments are escaped, names from outside cannot reorder their neighbours.

    The page can say each of them in its other language, for its element carries the message's key (``data-say``), that of a
    plural its count, and what fills a placeholder is an element of its own (``data-arg``). See ``templates/words.js``.
    """

    def __init__(self, language: str) -> None:
        super().__init__(language, lambda text: str(Markup.escape(visible(text))), lambda text: f"<b>{text}</b>")

    def __call__(self, key: str, count: int | None = None, **arguments: str) -> str:
        """The message of a key as an element."""
        return self._element(key, count, super().__call__(key, count, **arguments))

    def message(self, message: Message, count: int | None = None, *, emphasise: bool = False) -> str:
        """A message as an element."""
        return self._element(message.key, count, super().message(message, count, emphasise=emphasise))

    def workload(self, workload: Mapping[str, int]) -> str:
        """As markup too: its parts are elements."""
        return Markup(super().workload(workload))

    def plain(self, key: str, **arguments: str) -> str:
        """Text without an element, for where none can stand; ``attribute("text", ...)`` beside it keeps it live."""
        return Markup.escape(visible(said(self.language, Message(key, arguments))))

    def attribute(self, name: str, key: str, **arguments: str) -> str:
        """An attribute that holds a message; the name ``text`` stands for an element's whole text and is left out."""
        return self.attributes({name: Message(key, arguments)})

    def attributes(self, messages: Mapping[str, Message]) -> str:
        """Several such attributes, and what the page needs to say them in its other language."""
        shown = {name: said(self.language, message) for name, message in messages.items() if name != "text"}
        pairs = {**shown, "data-say-in": as_json(messages)}
        return Markup(" ".join(f'{name}="{Markup.escape(visible(value))}"' for name, value in pairs.items()))

    @staticmethod
    def _element(key: str, count: int | None, text: str) -> str:
        counted = "" if count is None else f' data-count="{count}"'
        return Markup(f'<span data-say="{key}"{counted}>{text}</span>')

    def _argument(self, name: str, value: str, emphasise: bool) -> str:
        return f'<span data-arg="{name}">{super()._argument(name, value, emphasise)}</span>'


def as_json(messages: Mapping[str, Message]) -> str:
    """Messages by the attribute that holds each, for ``data-say-in``."""
    live = {name: [message.key, message.arguments] for name, message in messages.items()}
    return json.dumps(live, ensure_ascii=False, separators=(",", ":"))


def said(language: str, message: Message) -> str:
    """A message as plain text, its arguments as they are."""
    return template(language, message.key).format_map(message.arguments)
