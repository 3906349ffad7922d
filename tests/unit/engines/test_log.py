"""The log of a step is bounded, whatever the step prints, and the orchestrator's memory with it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.engines.job import LINE_BYTES, _Lines, keep_log

LIMIT = 2**20


def test_a_short_log_is_kept_as_it_is(tmp_path: Path) -> None:
    keep_log([b"one\ntw", b"o\n", b"three"], tmp_path / "log", LIMIT, lambda _: None)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree"


def test_of_a_long_log_the_head_and_the_tail_are_kept(tmp_path: Path) -> None:
    chunks = [f"line {number}\n".encode() for number in range(400_000)]
    keep_log(chunks, tmp_path / "log", LIMIT, lambda _: None)
    text = (tmp_path / "log").read_text("utf-8")
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 399998\nline 399999\n")
    assert "bytes are left out: a log keeps 1,048,576" in text
    assert LIMIT < len(text) < LIMIT + 200


def flood(size: int, chunk: bytes) -> Iterator[bytes]:
    for _ in range(size // len(chunk)):
        yield chunk


def test_300_mb_without_a_line_break_cost_no_memory(tmp_path: Path) -> None:
    lines: list[str] = []
    tracemalloc.start()
    keep_log(flood(300 * 2**20, b"x" * 65536), tmp_path / "log", 8 * LIMIT, lines.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 * 2**20
    assert [len(line) for line in lines] == [LINE_BYTES]


def test_a_progress_bar_that_never_ends_its_line_tells_its_last_state(tmp_path: Path) -> None:
    lines: list[str] = []
    keep_log([f"{number} %\r".encode() for number in range(101)] + [b"\n"], tmp_path / "log", LIMIT, lines.append)
    assert lines == ["100 %"]


def test_escape_sequences_reach_no_terminal(tmp_path: Path) -> None:
    lines: list[str] = []
    keep_log([b"progress 0.5 \x1b[31mred\x07\xc2\x9b\n"], tmp_path / "log", LIMIT, lines.append)
    assert lines == ["progress 0.5 [31mred"]


def plain(data: bytes) -> list[str]:
    """Lines as a simple reader has them: what was drawn over is gone."""
    *whole, rest = data.split(b"\n")
    lines = [line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode() for line in whole]
    last = rest.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode()
    return lines + ([last] if last else [])


@given(st.lists(st.text("ab\r\n", max_size=6), max_size=8))
def test_lines_are_the_same_however_they_are_cut_into_chunks(parts: list[str]) -> None:
    lines: list[str] = []
    reader = _Lines(lines.append)
    for part in parts:
        reader.feed(part.encode())
    reader.end()
    assert lines == plain("".join(parts).encode())
