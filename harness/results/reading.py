"""Results read from a file or a text, whatever schema they were written in, and the JSON Schema of the present one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UsageError
from harness.results.migration import migrated
from harness.results.run import SCHEMA_VERSION, Results

#: Of schema versions: what no reader of another number need understand; a number behind the point only adds what may be absent.
READABLE = ("1", "2")
LARGEST_BYTES = 1 << 30


def read(file: Path) -> Results | None:
    """The results in a file, or None where there is no such file.

    Raises UsageError for a file that cannot be read, or whose content is no results; it names the file and the field.
    """
    try:
        if file.exists() and not file.is_file():
            raise UsageError(f"{file} is not a file", "name a results.json")
        if file.is_file() and file.stat().st_size > LARGEST_BYTES:
            raise UsageError(f"{file} is larger than {LARGEST_BYTES >> 20} MiB", "name a results.json")
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}", "see who owns it") from error
    return parse(content, str(file))


def parse(content: bytes, name: str = "the file") -> Results:
    """The results in a text of JSON, of schema 1 or 2; ``name`` is what an error calls it.

    Raises UsageError where the text is no results: it names the first field that is wrong.
    """
    data = _json(content, name)
    version = data.get("schema_version")
    major = version.partition(".")[0] if isinstance(version, str) else None
    if major not in READABLE:
        raise UsageError(
            f"{name} holds no results of schema {SCHEMA_VERSION}: its schema_version is {_shown(version)}",
            "run the matrix with this version first",
        )
    try:
        if major == "2":
            del data  # as large again as the results
            return Results.model_validate_json(content)
        # Through JSON text, not as Python values: JSON's rules let lists stand for tuples and strings for statuses.
        return Results.model_validate_json(json.dumps(migrated(data)))
    except ValidationError as error:
        raise UsageError(f"{name} holds broken results: {_first(error)}", _CURE) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{name} holds broken results of schema 1: {error!r}", _CURE) from error


_CURE = "restore the file from git, or run the matrix again"


def _json(content: bytes, name: str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no JSON: {error}", _CURE) from error
    if not isinstance(data, dict):
        raise UsageError(f"{name} holds no results: it is not an object", _CURE)
    return data


def _shown(version: object) -> str:
    return "missing" if version is None else repr(version)[:40]


def _first(error: ValidationError) -> str:
    """The first field that is wrong, how, and how many more there are."""
    found = error.errors(include_url=False, include_input=False)
    place = ".".join(str(part) for part in found[0]["loc"]) or "the whole"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{place}: {found[0]['msg']}{more}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``reports/results.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Results.model_json_schema(mode="serialization"),
    }
