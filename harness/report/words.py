"""A language's voice for the templates: messages filled in, escaped for where they go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from markupsafe import Markup

from harness.report.messages import Message, template
from harness.report.text import visible

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
    """Messages as markup: arguments are escaped, names from outside cannot reorder their neighbours."""

    def __init__(self, language: str) -> None:
        super().__init__(language, lambda text: str(Markup.escape(visible(text))), lambda text: f"<b>{text}</b>")

    def _fill(self, text: str, arguments: Mapping[str, str], emphasise: bool) -> str:
        return Markup(super()._fill(text, arguments, emphasise))
