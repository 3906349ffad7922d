"""Data sets in files: one reader for each format, named as the files' suffix is.

``<format>.py`` holds ``read(file)``: the rows of a file, each with its place, such as ``evaluate.csv, line 3``. Messages begin
with the place. Modules that readers share have a leading underscore. Readers are found over ``__path__``, to which a plug-in
appends its own folder. Readers know nothing of tasks: the caller says which columns a row needs.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias, cast

from harness.contracts.artifact import ConversionError
from harness.contracts.loading import load
from harness.contracts.task import Column
from harness.datasets._text import listed

Placed: TypeAlias = tuple[str, Mapping[str, Any]]  # where a row stands, and the row


def formats() -> list[str]:
    """Every format that can be read: ``csv``, ``jsonl``..."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))


def reader_of(suffix: str) -> str:
    """The dotted name of the module that reads files of a suffix, with or without its dot. Raises KeyError."""
    name, known = suffix.lower().removeprefix("."), formats()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        cure = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise KeyError(f"no reader for files that end in {suffix!r}; {cure}")
    return f"{__name__}.{name}"


def formats_in(path: Path) -> list[str]:
    """The formats of a file, or of the files in a folder, as far as they can be read."""
    files = path.iterdir() if path.is_dir() else [path]
    return sorted({format_of(file) for file in files} & set(formats()))


def format_of(file: Path) -> str:
    """The format that a file's suffix names, whether it can be read or not."""
    return file.suffix.lower().removeprefix(".")


def read(file: Path) -> Iterator[Placed]:
    """The rows of a file with their places. Raises ConversionError with one line that begins with the place."""
    return cast(Iterator[Placed], load(reader_of(file.suffix)).read(file))


def with_columns(rows: Iterable[Placed], columns: Sequence[Column]) -> Iterator[Placed]:
    """The rows, where each has every column that is not optional. Raises ConversionError with the first that lacks one."""
    for place, row in rows:
        for column in columns:
            if not column.optional and column.name not in row:
                found = f"it has {listed(map(str, row))}" if row else "it is empty"
                raise ConversionError(f"{place}: no field {column.name!r} ({column.holds}); {found}")
        yield place, row


def own_file(folder: Path, split: str) -> Path:
    """The file of a split in a folder: ``train`` or ``evaluate`` with the suffix of a known format.

    A folder with one file of another name holds examples to evaluate on. Raises ConversionError where no file, or more than
    one, can be meant.
    """
    known = formats()
    files = sorted(file for file in folder.iterdir() if format_of(file) in known)
    named = [file for file in files if file.stem == split]
    if len(named) == 1:
        return named[0]
    if split == "evaluate" and len(files) == 1 and files[0].stem != "train":
        return files[0]
    there = listed(sorted(file.name for file in folder.iterdir())) or "nothing"
    wanted = " or ".join(f"{split}.{name}" for name in known)
    needs = f"needs exactly one {wanted}" if known else f"has no {split} file of a format that can be read"
    raise ConversionError(f"the data set {needs}; it holds {there}")
