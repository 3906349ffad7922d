"""A YAML file with the place of everything in it, and mistakes that point there.

PyYAML's composer keeps the marks of every node; the values themselves are built by its safe constructor. Duplicate keys,
which PyYAML takes silently, are mistakes here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import yaml

from harness.errors import UsageError

Location: TypeAlias = tuple[str | int, ...]

MAX_CHARACTERS = 1_000_000
#: With every alias written out. A file of 300 bytes whose aliases multiply would hold billions.
MAX_NODES = 100_000
MAX_TOLD = 20  # mistakes that are told one by one
LINE_WIDTH = 160  # characters of a line that are shown around a mistake
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Mark:
    """A place in the file, counted from one, and how many characters it spans."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True)
class Mistake:
    """One mistake: where in the data, what is wrong, what would mend it. ``at_key`` points at the key, not the value."""

    location: Location
    problem: str
    cure: str | None = None
    at_key: bool = False


@dataclass(frozen=True)
class Document:
    """The data of a YAML file and the marks of its keys and values by location, such as ``("models", 0, "name")``."""

    name: str
    lines: Sequence[str]
    data: Any
    keys: dict[Location, Mark] = field(default_factory=dict)
    values: dict[Location, Mark] = field(default_factory=dict)
    duplicates: Sequence[Mistake] = ()  # keys that are there twice: of the data the last one counts

    def place(self, mistake: Mistake) -> Mark:
        """The nearest marked place: the key or value itself, or what encloses it."""
        location = mistake.location
        if mistake.at_key and location in self.keys:
            return self.keys[location]
        while location and location not in self.values:
            location = location[:-1]
        # A mapping's own mark is that of its first key; the key it hangs on says more.
        own = self.values.get(location, Mark(1, 1))
        return own if location == mistake.location or location not in self.keys else self.keys[location]


class MatrixError(UsageError):
    """All the mistakes of one file at once."""

    def __init__(self, document: Document, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        placed = sorted(((document.place(m), m) for m in mistakes), key=lambda pair: (pair[0].line, pair[0].column))
        told = [_render(document, mark, mistake) for mark, mistake in placed[:MAX_TOLD]]
        if more := len(placed) - len(told):
            told.append(f"{document.name}: and {more:,} more mistakes; mend these first")
        super().__init__("\n".join(told))


def _render(document: Document, mark: Mark, mistake: Mistake) -> str:
    text = f"{document.name}:{mark.line}:{mark.column}: {mistake.problem}"
    if 0 < mark.line <= len(document.lines):
        number, line = str(mark.line), document.lines[mark.line - 1]
        begin = max(0, mark.column - 1 - LINE_WIDTH // 2) if len(line) > LINE_WIDTH else 0
        text += f"\n  {number} | {line[begin : begin + LINE_WIDTH]}"
        text += f"\n  {' ' * len(number)} | {' ' * (mark.column - 1 - begin)}{'^' * min(mark.width, LINE_WIDTH // 2)}"
    if mistake.cure:
        text += f"\n  hint: {mistake.cure}"
    return text


def dotted(location: Location) -> str:
    """A location as people write it, such as ``models[0].name``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read(text: str, name: str) -> Document:
    """Parse YAML ``text`` called ``name``; raises MatrixError for broken syntax, duplicate keys and aliases to itself."""
    document = compose(text, name)
    if document.duplicates:
        raise MatrixError(document, document.duplicates)
    return document


def compose(text: str, name: str) -> Document:
    """As ``read``, but duplicate keys are handed on, so that they can be told with the other mistakes."""
    document = Document(name, text.splitlines(), None)
    if len(text) > MAX_CHARACTERS:
        raise MatrixError(document, [Mistake((), f"the file is larger than {MAX_CHARACTERS:,} characters")])
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise MatrixError(document, [Mistake((), "the file is empty", "start from `harness init`")])
        mistakes = list(_walk(document, node, (), frozenset()))
        if any(not mistake.at_key for mistake in mistakes):
            raise MatrixError(document, mistakes)
        return replace(document, data=_construct(loader, node, document), duplicates=mistakes)
    except RecursionError:
        raise MatrixError(document, [Mistake((), "the file is nested too deeply", "flatten it")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        document.values[()] = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
        problem = f"not valid YAML: {error.problem or error.context}"
        raise MatrixError(document, [Mistake((), problem, _syntax_cure(document, mark))]) from None
    except yaml.YAMLError as error:
        raise MatrixError(document, [Mistake((), f"not valid YAML: {' '.join(str(error).split())}")]) from None


def _construct(loader: Any, node: yaml.Node, document: Document) -> Any:
    """The values of a document. What a tag or a number can't be turned into is a mistake at the first such value."""
    try:
        return loader.construct_document(node)
    except _UNFIT as error:
        wrong = [_unfit(location, scalar) for location, scalar in _scalars(node, ()) if not _fits(scalar)]
        raise MatrixError(document, wrong or [Mistake((), f"not valid YAML: {error}")]) from None


#: What PyYAML's constructors let through from int(), float(), datetime() and their own reading of a text with a wrong tag.
_UNFIT = (ValueError, ArithmeticError, TypeError, LookupError, AttributeError)


def _fits(scalar: yaml.ScalarNode) -> bool:
    try:
        _Loader("").construct_object(scalar)
    except (*_UNFIT, yaml.YAMLError):
        return False
    return True


def _unfit(location: Location, scalar: yaml.ScalarNode) -> Mistake:
    text = str(scalar.value)
    shown = text if len(text) <= 40 else f"{text[:39]}…"
    return Mistake(
        location, f"{dotted(location)}: {shown!r} is no {scalar.tag.rpartition(':')[2]}", "write a plain value"
    )


def _scalars(node: yaml.Node, location: Location) -> Iterator[tuple[Location, yaml.ScalarNode]]:
    if isinstance(node, yaml.ScalarNode):
        yield location, node
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _scalars(item, (*location, index))
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(value, (*location, str(key.value)))


def _syntax_cure(document: Document, mark: Any) -> str | None:
    if mark and mark.line < len(document.lines) and "\t" in document.lines[mark.line]:
        return "YAML indents with spaces: replace the tab"
    return None


def _walk(document: Document, node: yaml.Node, location: Location, above: frozenset[int]) -> Iterator[Mistake]:
    document.values[location] = _mark(node)
    if len(document.values) > MAX_NODES:
        yield Mistake((), f"the file holds more than {MAX_NODES:,} values, aliases written out", "use fewer aliases")
        return
    if id(node) in above:
        yield Mistake(location, "an alias refers to what encloses it")
        return
    above = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(document, item, (*location, index), above)
            if len(document.values) > MAX_NODES:
                return
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            written = str(key.value)
            place = (*location, written)
            document.keys[place] = _mark(key)
            if first := lines.get(written):
                problem = f"the key {written[:60]!r} is here twice, first in line {first}"
                yield Mistake(place, problem, "keep one", at_key=True)
            lines[written] = document.keys[place].line
            yield from _walk(document, value, place, above)
            if len(document.values) > MAX_NODES:
                return


def _mark(node: yaml.Node) -> Mark:
    start, end = node.start_mark, node.end_mark
    width = end.column - start.column if end.line == start.line and isinstance(node, yaml.ScalarNode) else 1
    return Mark(start.line + 1, start.column + 1, max(1, width))
