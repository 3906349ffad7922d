"""``.conll``: the columns of the CoNLL shared tasks in UTF-8: a word a line, its tag last, a blank line between sentences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from harness.contracts.artifact import ConversionError
from harness.datasets._text import lines_of


def read(file: Path) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """One row a sentence: ``tokens`` and ``tags``, which come out as IOB2.

    CoNLL-2003 itself (Tjong Kim Sang & De Meulder, 2003) is in IOB1, where an entity begins with ``I-`` unless it follows
    another of its type.
    """
    tokens: list[str] = []
    tags: list[str] = []
    begins = 0
    for number, line in chain(lines_of(file), [(0, "")]):
        words = line.split()
        if words and words[0] != "-DOCSTART-":
            if len(words) < 2:
                raise ConversionError(
                    f"{file.name}, line {number}: expected a word and its tag, found {line.strip()[:60]!r}"
                )
            begins = begins if tokens else number
            tokens.append(words[0])
            tags.append(words[-1])
        elif tokens:
            yield f"{file.name}, line {begins}", {"tokens": tokens, "tags": _iob2(tags)}
            tokens, tags = [], []


def _iob2(tags: list[str]) -> list[str]:
    """Every entity begins with ``B-``; tags that are IOB2 already stay as they are."""
    pairs = zip(["O", *tags[:-1]], tags, strict=True)
    return [f"B-{tag[2:]}" if tag[:2] == "I-" and before[2:] != tag[2:] else tag for before, tag in pairs]
