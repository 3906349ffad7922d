"""Text files, and tables in them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path

from harness.contracts.artifact import ConversionError

LONGEST = 2**24  # bytes of a line, characters of a field; the csv library's own limit is 128 Ki
MOST_BYTES = 2**30  # of a file that is one row
MOST_COLUMNS = 10_000
_MARK = b"\xef\xbb\xbf"  # the byte order mark of UTF-8


def text_of(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises ConversionError with the line that is not."""
    if (size := file.stat().st_size) > MOST_BYTES:
        raise ConversionError(f"{file.name}: {size:,} bytes in one row; {MOST_BYTES:,} are read")
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _not_utf8(f"{file.name}, line {line}", content, error) from None
    if (at := text.find("\0")) >= 0:
        raise _no_text(f"{file.name}, line {text.count(chr(10), 0, at) + 1}")
    return text


def listed(names: Iterable[str]) -> str:
    """Names for a message, which stays one line: ten at most, each cut short."""
    found = list(names)
    more = f" and {len(found) - 10:,} more" if len(found) > 10 else ""
    return ", ".join((name if name.isprintable() else repr(name))[:60] for name in found[:10]) + more


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file in UTF-8 with their numbers from 1, ends included. Raises ConversionError with the place."""
    with file.open("rb") as stream:
        number = 0
        while content := stream.readline(LONGEST + 1):
            number += 1
            place = f"{file.name}, line {number}"
            if len(content) > LONGEST:
                raise ConversionError(f"{place}: longer than {LONGEST:,} bytes")
            try:
                text = (content.removeprefix(_MARK) if number == 1 else content).decode("utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(place, content, error) from None
            if "\0" in text:
                raise _no_text(place)
            yield number, text


def _not_utf8(place: str, content: bytes, error: UnicodeDecodeError) -> ConversionError:
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    what = "UTF-16, not UTF-8" if wide else f"not UTF-8 (byte {error.object[error.start]:#04x})"
    return ConversionError(f"{place}: {what}")


def _no_text(place: str) -> ConversionError:
    return ConversionError(f"{place}: holds a NUL; is the file UTF-16, or no text at all?")


def table(file: Path, *, delimiter: str, quoted: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a table whose first line names the columns; an empty cell is no cell.

    Raises ConversionError where there is no header, a row has more cells than it, or quotes do not match.
    """
    csv.field_size_limit(LONGEST)
    lines = (part for _, line in lines_of(file) for part in _parts(line))
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


def _parts(line: str) -> Iterable[str]:
    """The lines in a line that ends with LF: they may end with CR alone."""
    return StringIO(line, newline="") if "\r" in line else (line,)


def _header(place: str, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(names) > MOST_COLUMNS:
        raise ConversionError(f"{place}: {len(names):,} columns; {MOST_COLUMNS:,} are read")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ConversionError(f"{place}: the column {twice[0][:60]!r} is named twice")
    return names
