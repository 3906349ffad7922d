"""Read a matrix file: YAML, then the types of the spec, then what only the catalog can tell; all mistakes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, ValidationError

from harness.catalog import Catalog
from harness.errors import UsageError, did_you_mean
from harness.matrix import check
from harness.matrix.document import MAX_CHARACTERS, Document, Location, MatrixError, Mistake, dotted, read
from harness.matrix.spec import Matrix

#: Finds what will not work with a matrix of valid names, told the folder of its file: what its sources hold.
Look: TypeAlias = Callable[[Matrix, Path], Iterable[Mistake]]


def load(file: Path, catalog: Catalog, look: Look = lambda matrix, base: ()) -> Matrix:
    """Read and validate a matrix file; raises UsageError if it is missing, MatrixError with all mistakes if it is wrong."""
    try:
        text = _read(file)
    except OSError as error:
        raise UsageError(
            f"{file}: {error.strerror}", "name an existing file, or write one with `harness init`"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start})", "save the file as UTF-8") from None
    return parse(text, str(file), catalog, look)


def _read(file: Path) -> str:
    """The text of a regular file; a pipe or a device would never end."""
    if file.exists() and not file.is_file():
        what = "a folder" if file.is_dir() else "not a regular file"
        raise UsageError(f"{file}: {what}", "name the matrix file itself")
    with file.open(encoding="utf-8") as stream:
        return stream.read(MAX_CHARACTERS + 1)


def parse(text: str, name: str, catalog: Catalog, look: Look = lambda matrix, base: ()) -> Matrix:
    """Validate the text of a matrix file against the catalog; raises MatrixError with all mistakes."""
    document = read(text, name)
    if not isinstance(document.data, dict):
        raise MatrixError(document, [Mistake((), "expected a mapping with models, methods and runtimes")])
    try:
        matrix = Matrix.model_validate(document.data)
    except ValidationError as error:
        wrong = [_translate(e, document) for e in error.errors()]
        raise MatrixError(document, [*wrong, *_others(document, error, catalog)]) from None
    if mistakes := check.mistakes(matrix, catalog) or list(look(matrix, Path(name).resolve().parent)):
        raise MatrixError(document, mistakes)
    return matrix


def _others(document: Document, error: ValidationError, catalog: Catalog) -> list[Mistake]:
    """The mistakes in what has the right types: the file without the entries that have not, checked as usual.

    What refers to entries that were left out is not checked.
    """
    bad = {tuple(each["loc"][:2]) for each in error.errors()}
    data, places = dict(document.data), {}
    for axis in _AXES:
        if isinstance(data.get(axis), list):
            kept = [index for index in range(len(data[axis])) if (axis, index) not in bad and (axis,) not in bad]
            places[axis] = kept
            data[axis] = [data[axis][index] for index in kept]
    for section in {place[0] for place in bad if place} - set(_AXES):
        data.pop(section, None)
    try:
        found = check.mistakes(Matrix.model_validate(data), catalog)
    except ValidationError:  # too little is left
        return []
    return [_moved(mistake, places) for mistake in found if mistake.location[0] in _AXES]


#: The lists whose entries stand for themselves.
_AXES = ("models", "methods", "runtimes")


def _moved(mistake: Mistake, places: Mapping[str, list[int]]) -> Mistake:
    """A mistake at the place that its entry has in the whole file."""
    axis, index, *rest = mistake.location
    if not isinstance(axis, str) or not isinstance(index, int):
        return mistake
    return replace(mistake, location=(axis, places[axis][index], *rest))


def _translate(error: Mapping[str, Any], document: Document) -> Mistake:
    location: Location = tuple(error["loc"])
    where = dotted(location)
    match error["type"]:
        case "extra_forbidden":
            known = sorted(_model_at(location[:-1]).model_fields)
            return Mistake(location, f"unknown key {location[-1]!r}", did_you_mean(location[-1], known), at_key=True)
        case "missing":
            return Mistake(
                location[:-1], f"the key {location[-1]!r} is missing in {dotted(location[:-1]) or 'the matrix'}"
            )
        case "too_short":
            return Mistake(location, f"{where} is empty", "name at least one")
        case "value_error":
            return Mistake(location, f"{where}: {error['ctx']['error']}")
        case "string_type" if not isinstance(error["input"], (dict, list)):
            return Mistake(
                location,
                f"{where}: expected text, got {error['input']!r}",
                f'put it in quotes: "{_literal(location, document)}"',
            )
        case "string_pattern_mismatch":
            return Mistake(location, f"{where}: {error['input']!r} does not match {error['ctx']['pattern']}")
        case _:
            message = error["msg"][0].lower() + error["msg"][1:]
            return Mistake(location, f"{where}: {message}, got {_short(error['input'])}")


def _literal(location: Location, document: Document) -> str:
    mark = document.values.get(location)
    return document.lines[mark.line - 1][mark.column - 1 :][: mark.width] if mark else "..."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _model_at(location: Location) -> type[BaseModel]:
    """The part of the file that stands at a location."""
    model: type[BaseModel] = Matrix
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner = _part_in(model.model_fields[part].annotation)
            model = inner or model
    return model


def _part_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _part_in(argument))), None)
