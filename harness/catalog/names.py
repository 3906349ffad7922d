"""Names that may be there once only, whichever folder they come from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from harness.errors import UsageError

T = TypeVar("T")


def unique(kind: str, found: Iterable[tuple[str, Path, T]]) -> dict[str, T]:
    """The values by their names; ``found`` yields (name, file or folder, value).

    Raises UsageError that names both places where a name is there twice.
    """
    values: dict[str, T] = {}
    places: dict[str, Path] = {}
    for name, place, value in found:
        if name in values:
            raise twice(kind, name, places[name], place)
        values[name], places[name] = value, place
    return values


def twice(kind: str, name: str, first: Path, second: Path) -> UsageError:
    """The error for a name that two places claim."""
    return UsageError(f"the {kind} {name!r} is there twice: {first} and {second}", "rename one of them")
