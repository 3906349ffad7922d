"""Text files, and tables in them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from harness.contracts.artifact import ConversionError

_LONGEST = 2**24  # characters of one field; the library's own limit is 128 Ki


def text_of(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises ConversionError with the line that is not."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConversionError(f"{file.name}, line {line}: not UTF-8 (byte {content[error.start]:#04x})") from None


def table(file: Path, *, delimiter: str, quoted: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a table whose first line names the columns; an empty cell is no cell.

    Raises ConversionError where there is no header, a row has more cells than it, or quotes do not match.
    """
    csv.field_size_limit(_LONGEST)
    lines = StringIO(text_of(file), newline="")
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True
    )
    header: list[str] | None = None
    begins = 1
    try:
        for cells in reader:
            place, begins = f"{file.name}, line {begins}", reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = _header(place, cells)
            elif len(cells) > len(header):
                raise ConversionError(f"{place}: {len(cells)} fields, but the header names {len(header)}")
            else:
                yield place, {name: cell for name, cell in zip(header, cells, strict=False) if cell}
    except csv.Error as error:
        raise ConversionError(f"{file.name}, line {reader.line_num}: {error}") from None
    if header is None:
        raise ConversionError(f"{file.name}: empty; the first line names the columns")


def _header(place: str, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConversionError(f"{place}: the column {twice[0]!r} is named twice")
    return names
