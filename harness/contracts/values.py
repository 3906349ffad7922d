"""Values that cross a container: dataclasses from JSON and back, refused by name where they are damaged.

What a container wrote is data. It is read by type: an unknown field, a missing one or one of another type is told with its
place, such as ``record.json: latency.nanoseconds[3]: expected int, got 'x'``. Standard library only.
"""

from __future__ import annotations

import json
import reprlib
import stat
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

MAX_BYTES = 64 * 2**20  #: of a file that holds one value; a record with all its samples is below 1 MB
MAX_DEPTH = 32
INTEGERS = range(-(2**63), 2**63)  #: JSON has larger ones, with which nothing here can be computed
_NUMBERS: dict[Any, set[type]] = {
    int: {int},
    float: {int, float},
}  # what JSON holds for a number of each type; a bool is none


class Damaged(ValueError):
    """A value is not what its type says; the message names the file and the field."""


def read(cls: type[T], file: Path) -> T:
    """The value in a JSON file. Raises Damaged, also where the file is missing, no plain file, too large or no JSON."""
    return parse(cls, _json(file), file.name)


def read_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file, whatever it holds. Raises Damaged as ``read`` does."""
    data = _json(file)
    _require(isinstance(data, dict), "a mapping", data, file.name)
    return data  # type: ignore[no-any-return]


def _json(file: Path) -> Any:
    try:
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise Damaged(f"{file.name}: not a plain file")
        if found.st_size > MAX_BYTES:
            raise Damaged(f"{file.name}: larger than {MAX_BYTES >> 20} MiB")
        return json.loads(file.read_bytes())
    except Damaged:
        raise
    except OSError as error:
        raise Damaged(f"{file.name}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{file.name}: no JSON ({error})") from None


def dump(value: Any) -> dict[str, Any]:
    """A dataclass as data for JSON."""
    return asdict(value)


def parse(cls: type[T], data: Any, where: str) -> T:
    """A value of type ``cls`` from data as JSON has it; ``where`` begins the message. Raises Damaged."""
    try:
        return _read(cls, data, where, 0)  # type: ignore[no-any-return]
    except RecursionError:  # from the words that show a value
        raise Damaged(f"{where}: nested too deep") from None


def _read(wanted: Any, data: Any, where: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise Damaged(f"{where}: nested deeper than {MAX_DEPTH}")
    if wanted is Any:
        return data
    if is_dataclass(wanted):
        return _read_fields(wanted, data, where, depth)
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, data, where, depth)
    if origin in (list, tuple):
        return _read_sequence(origin, arguments, data, where, depth)
    if origin in (dict, Mapping):
        _require(isinstance(data, dict), "a mapping", data, where)
        for key in data:
            _require_text(key, where)
        return {key: _read(arguments[1], each, f"{where}: {key}", depth + 1) for key, each in data.items()}
    if wanted is float:
        _require(isinstance(data, (int, float)) and not isinstance(data, bool), "a number", data, where)
        _require(data in INTEGERS if type(data) is int else True, "a number of 64 bits", data, where)
        return float(data)
    known = isinstance(data, wanted) and (wanted is bool or not isinstance(data, bool))
    _require(known, wanted.__name__, data, where)
    if type(data) is int:
        _require(data in INTEGERS, "a number of 64 bits", data, where)
    if wanted is str:
        _require_text(data, where)
    return data


def _require_text(data: str, where: str) -> None:
    """JSON can hold half of a surrogate pair, which no file and no page can."""
    try:
        data.encode()
    except UnicodeEncodeError:
        raise Damaged(f"{where}: expected text, got {data[:60]!a}") from None


def _read_fields(cls: Any, data: Any, where: str, depth: int) -> Any:
    _require(isinstance(data, dict), "a mapping", data, where)
    hints = _hints(cls)
    if unknown := sorted(data.keys() - hints.keys()):
        raise Damaged(f"{where}: unknown field {unknown[0]!r}")
    found = {}
    for field in fields(cls):
        if field.name in data:
            found[field.name] = _read(hints[field.name], data[field.name], f"{where}: {field.name}", depth + 1)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise Damaged(f"{where}: the field {field.name!r} is missing")
    try:
        return cls(**found)
    except ValueError as error:  # what a value says of itself in __post_init__
        raise Damaged(f"{where}: {error}") from None


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _read_union(arguments: tuple[Any, ...], data: Any, where: str, depth: int) -> Any:
    if data is None and type(None) in arguments:
        return None
    (wanted,) = (each for each in arguments if each is not type(None))  # the contracts have no other unions
    return _read(wanted, data, where, depth)


def _read_sequence(origin: Any, arguments: tuple[Any, ...], data: Any, where: str, depth: int) -> Any:
    _require(isinstance(data, list), "a list", data, where)
    if origin is tuple and arguments[-1] is not Ellipsis:
        _require(len(data) == len(arguments), f"{len(arguments)} values", data, where)
        pairs = list(zip(arguments, data, strict=True))
    elif (numbers := _NUMBERS.get(arguments[0])) and numbers.issuperset(map(type, data)):  # samples: no call for each
        if large := [each for each in data if type(each) is int and each not in INTEGERS]:
            _require(False, "numbers of 64 bits", large[0], where)
        return origin(map(arguments[0], data))
    else:
        pairs = [(arguments[0], each) for each in data]
    return origin(_read(wanted, each, f"{where}[{i}]", depth + 1) for i, (wanted, each) in enumerate(pairs))


def _require(holds: bool, wanted: str, data: Any, where: str) -> None:
    if not holds:
        text = reprlib.repr(data)  # a container may have written 64 MiB
        raise Damaged(f"{where}: expected {wanted}, got {text if len(text) <= 60 else text[:59] + '…'}")
