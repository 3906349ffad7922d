"""Words that no catalogue holds: what tasks call themselves, their metrics and workload fields, and the names of machines.

The report knows none of them by name. The results state them by language; columns state their own (``table/columns.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.report.language.catalogue import Word
from harness.results import Results

FALLBACK = "en"
#: Where the value of a workload field stands in its words; words without it stand before the value.
VALUE = "{value}"


@dataclass(frozen=True)
class Vocabulary:
    """Words by key (``Word.key``) and language."""

    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Results) -> Vocabulary:
        """What the results state."""
        names = Counter(machine.name for machine in results.machines.values())
        machines = {
            f"machine.{id}": {FALLBACK: machine.name if names[machine.name] == 1 else f"{machine.name} ({id})"}
            for id, machine in results.machines.items()
        }
        stated = {
            **{f"task.{name}": facts.words for name, facts in results.tasks.items()},
            **{f"metric.{name}": facts.words for name, facts in results.metrics.items()},
            **{f"field.{name}": facts.words for name, facts in results.workload_fields.items()},
        }
        return cls({**stated, **machines})

    def also(self, words: Mapping[str, Mapping[str, str]]) -> Vocabulary:
        """These words besides."""
        return Vocabulary({**self.words, **words})

    def text(self, word: Word, language: str) -> str:
        """A word in a language; in English, in any, or its bare name where the language has none."""
        known = self.words.get(word.key, {})
        text = known.get(language) or known.get(FALLBACK) or next(iter(known.values()), "") or word.name
        if word.value is None:
            return text
        return text.replace(VALUE, str(word.value)) if VALUE in text else f"{text} {word.value}"
