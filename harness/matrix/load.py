"""Read a matrix file: YAML, then the types of the spec, then what only the catalog can tell; all mistakes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, ValidationError

from harness.catalog import Catalog
from harness.errors import UsageError, did_you_mean
from harness.matrix import check, repair
from harness.matrix.document import MAX_CHARACTERS, Document, Location, MatrixError, Mistake, compose, dotted
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
    document = compose(text, name)
    if not isinstance(document.data, dict):
        problem = Mistake((), "expected a mapping with models, methods and runtimes")
        raise MatrixError(document, [problem, *document.duplicates])
    try:
        matrix = Matrix.model_validate(document.data)
    except ValidationError as error:
        wrong = [_translate(each, document) for each in _merged(error.errors(), document.data)]
        others = repair.other_mistakes(document.data, catalog)
        raise MatrixError(document, [*document.duplicates, *wrong, *others]) from None
    if mistakes := [*document.duplicates, *check.mistakes(matrix, catalog)]:
        raise MatrixError(document, mistakes)
    if mistakes := list(look(matrix, Path(name).resolve().parent)):
        raise MatrixError(document, mistakes)
    return matrix


def _merged(errors: Sequence[Mapping[str, Any]], data: Any) -> Iterator[Mapping[str, Any]]:
    """One error for each place: of a value that may have several types pydantic tells one for each of them."""
    groups: dict[Location, list[Mapping[str, Any]]] = {}
    for each in errors:
        groups.setdefault(repair.place(data, each), []).append(each)
    for at, group in groups.items():
        kinds = [_KINDS.get(each["loc"][-1], str(each["loc"][-1])) for each in group if len(each["loc"]) > len(at)]
        if len(kinds) == len(group) > 1:
            message = f"expected {', '.join(kinds[:-1])} or {kinds[-1]}"
            yield {"loc": group[0]["loc"][:-1], "type": "union", "msg": message, "input": group[0]["input"]}
        else:
            yield from group


#: What pydantic calls the types of a union.
_KINDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "list[str]": "a list"}


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
