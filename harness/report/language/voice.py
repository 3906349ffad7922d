"""A language's voice for the templates: messages filled in, escaped for where they go."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from markupsafe import Markup

from harness.report.language.catalogue import Message, Word, template
from harness.report.language.vocabulary import Vocabulary
from harness.untrusted_text import visible

#: Placeholders that hold what ``numbers.py`` wrote: the point of a sentence, its estimate set in bold.
NUMBERS = {"speed", "ratio", "difference"}


class Voice:
    """Fills messages of one language. Text from outside is made visible, then safe by ``escape``; ``bold`` marks a point."""

    def __init__(
        self,
        language: str,
        escape: Callable[[str], str],
        bold: Callable[[str], str],
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.language = language
        self.vocabulary = vocabulary or Vocabulary()
        self._safe = escape
        self._bold = bold

    def _escape(self, text: str) -> str:
        return self._safe(visible(text))

    def __call__(self, key: str, count: int | None = None, **arguments: str | Word) -> str:
        """The message of a key; ``count`` chooses the plural form and fills ``{count}``."""
        if count is not None:
            arguments.setdefault("count", str(count))
        return self._fill(template(self.language, key, count), arguments, emphasise=False)

    def message(self, message: Message, count: int | None = None, *, emphasise: bool = False) -> str:
        """The text of a message, its point in bold if asked."""
        return self._fill(template(self.language, message.key, count), message.arguments, emphasise)

    def word(self, word: Word) -> str:
        """A word that the results or a column bring."""
        return self._escape(self.vocabulary.text(word, self.language))

    def workload(self, workload: Mapping[str, int]) -> str:
        """``batch 1, 128 tokens``."""
        return ", ".join(self.word(Word("field", name, value)) for name, value in workload.items())

    def named(self, key: str, name: str) -> str:
        """The message of a key, such as that of a phase; where there is none, the name as it is recorded."""
        try:
            return self(key)
        except KeyError:
            return self._escape(name)

    def text(self, message: Message) -> str:
        """A message as plain text."""
        arguments = {
            name: value if isinstance(value, str) else self.vocabulary.text(value, self.language)
            for name, value in message.arguments.items()
        }
        return visible(template(self.language, message.key).format_map(arguments))

    def _fill(self, text: str, arguments: Mapping[str, str | Word], emphasise: bool) -> str:
        return text.format_map({name: self._argument(name, value, emphasise) for name, value in arguments.items()})

    def _argument(self, name: str, value: str | Word, emphasise: bool) -> str:
        if isinstance(value, Word):
            return self.word(value)
        if name not in NUMBERS:
            return value if isinstance(value, Markup) else self._escape(value)
        estimate, bracket, interval = value.partition(" [")
        return f"{self._bold(estimate) if emphasise else estimate}{bracket}{interval}"


class HtmlVoice(Voice):
    """Messages as markup: arguments are escaped, names from outside cannot reorder their neighbours.

    The page can say each of them in its other language, for its element carries the message's key (``data-say``), that of a
    plural its count, and what fills a placeholder is an element of its own (``data-arg``). An element of a word carries the
    word's key (``data-word``). See ``templates/page/words.js``.
    """

    def __init__(self, language: str, vocabulary: Vocabulary | None = None) -> None:
        super().__init__(language, _escape, lambda text: f"<b>{text}</b>", vocabulary)

    def __call__(self, key: str, count: int | None = None, **arguments: str | Word) -> str:
        """The message of a key as an element."""
        return self._element(key, count, super().__call__(key, count, **arguments))

    def message(self, message: Message, count: int | None = None, *, emphasise: bool = False) -> str:
        """A message as an element."""
        return self._element(message.key, count, super().message(message, count, emphasise=emphasise))

    def word(self, word: Word) -> str:
        """A word as an element."""
        value = "" if word.value is None else f' data-value="{word.value}"'
        return Markup(f'<bdi data-word="{_escape(word.key)}"{value}>{super().word(word)}</bdi>')

    def workload(self, workload: Mapping[str, int]) -> str:
        """As markup too: its parts are elements."""
        return Markup(super().workload(workload))

    def plain(self, key: str, **arguments: str | Word) -> str:
        """Text without an element, for where none can stand; ``attribute("text", ...)`` beside it keeps it live."""
        return Markup.escape(self.text(Message(key, arguments)))

    def attribute(self, name: str, key: str, **arguments: str | Word) -> str:
        """An attribute that holds a message; the name ``text`` stands for an element's whole text and is left out."""
        return self.attributes({name: Message(key, arguments)})

    def attributes(self, messages: Mapping[str, Message]) -> str:
        """Several such attributes, and what the page needs to say them in its other language."""
        shown = {name: self.text(message) for name, message in messages.items() if name != "text"}
        pairs = {**shown, "data-say-in": as_json(messages)}
        return Markup(" ".join(f'{name}="{_escape(value)}"' for name, value in pairs.items()))

    @staticmethod
    def _element(key: str, count: int | None, text: str) -> str:
        counted = "" if count is None else f' data-count="{count}"'
        return Markup(f'<span data-say="{key}"{counted}>{text}</span>')

    def _argument(self, name: str, value: str | Word, emphasise: bool) -> str:
        return f'<span data-arg="{name}">{super()._argument(name, value, emphasise)}</span>'


def _escape(text: str) -> str:
    return str(Markup.escape(visible(text)))


def as_json(messages: Mapping[str, Message]) -> str:
    """Messages by the attribute that holds each, for ``data-say-in``; a word in them is its key."""
    live = {name: [message.key, _arguments(message)] for name, message in messages.items()}
    return json.dumps(live, ensure_ascii=False, separators=(",", ":"))


def _arguments(message: Message) -> dict[str, str | list[str]]:
    return {name: value if isinstance(value, str) else [value.key] for name, value in message.arguments.items()}
