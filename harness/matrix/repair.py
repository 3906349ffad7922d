"""The other mistakes of a file that has wrong types: unknown names, duplicates and bad sources in all the rest of it.

What has a wrong type is left out, or a stand-in takes its place, until the whole has the right types. Then it is checked as
usual. What is said of a stand-in is not told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from harness.catalog import Catalog
from harness.matrix import check
from harness.matrix.document import Location, Mistake
from harness.matrix.spec import Matrix

ROUNDS = 12  # each repairs one level of what is nested


def other_mistakes(data: Mapping[str, Any], catalog: Catalog) -> list[Mistake]:
    """The mistakes beside those of types; none where the file can't be repaired."""
    try:
        matrix, places = _repaired(deepcopy(dict(data)))
    except (ValidationError, RecursionError):
        return []
    return [mistake for mistake in check.names(matrix, catalog) if not _of_stand_in(mistake.location, places)]


def place(data: Any, error: Mapping[str, Any]) -> Location:
    """Where pydantic's error is in the data: the deepest place that there is, or the key that is missing there."""
    found: list[str | int] = []
    for part in error["loc"]:
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        ):
            data = data[part]
        else:
            missing = error["type"] == "missing" and part == error["loc"][-1] and isinstance(data, dict)
            return (*found, part) if missing else tuple(found)
        found.append(part)
    return tuple(found)


def _repaired(data: dict[str, Any]) -> tuple[Matrix, set[Location]]:
    """The matrix, and the places that were changed. Raises ValidationError."""
    tried: Counter[Location] = Counter()
    for number in range(ROUNDS):
        try:
            return Matrix.model_validate(data), set(tried)
        except ValidationError as error:
            for index, at in enumerate(dict.fromkeys(place(data, each) for each in error.errors())):
                _change(data, at, tried[at], f"left-out-{number}-{index}")
                tried[at] += 1
    return Matrix.model_validate(data), set(tried)


def _change(data: Any, at: Location, tries: int, name: str) -> None:
    """Leave out what is there; where that does not help, put something of another kind in its place."""
    if not at:
        return
    for part in at[:-1]:
        data = data[part]
    key: Any = at[-1]
    if isinstance(data, dict) and key in data and not tries:
        del data[key]
        return
    values = tuple(_stand_ins(name))
    data[key] = values[(tries - isinstance(data, dict)) % len(values)]


def _stand_ins(name: str) -> Iterator[Any]:
    """A value of every kind that the file has."""
    model = {"name": name, "source": f"zoo:{name}", "task": name, "dataset": f"zoo:{name}"}
    yield from (name, 1, model, {}, [name], [[name]], "cpu")


def _of_stand_in(location: Location, places: set[Location]) -> bool:
    """Whether a mistake is at a stand-in, or may be one only because a name is not known."""
    if any(location[: len(at)] == at for at in places):
        return True
    nameless = {at[0] for at in places if at and (at[-1] == "name" or len(at) <= 2)}
    if location[0] == "devices":  # a stand-in is one of the two devices
        return "devices" in nameless
    return location[0] in ("include", "exclude", "report") and f"{location[-1]}s" in nameless - {"runtimes"}
