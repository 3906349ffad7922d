"""Matrix files that are made to hurt: each is told in a line, soon, and none is a traceback."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalog import load_catalog
from harness.errors import UsageError
from harness.matrix import document, load
from harness.matrix.document import MatrixError

CATALOG = load_catalog()
GOOD = """\
models:
  - {name: a, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}
methods: [original, fp16]
runtimes: [pytorch, onnxruntime]
limits: {memory: 4GiB, timeout: 10m}
"""


def told(text: str) -> str:
    with pytest.raises(MatrixError) as caught:
        load.parse(text, "matrix.yaml", CATALOG)
    return str(caught.value)


def test_aliases_that_multiply_are_refused() -> None:
    bomb = "b0: &b0 [x, x, x]\n" + "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 3)}]\n" for i in range(1, 30))
    assert "100,000 values" in told(bomb)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "9" * 5000,
        "models: !!int model",
        "a: !!timestamp 2020-99-99",
        "a: !!float x",
        "a: !!bool maybe",
        "[" * 9000,
    ],
)
def test_a_value_that_its_tag_cannot_hold_is_told(text: str) -> None:
    assert told(text).startswith("matrix.yaml:1:")


@pytest.mark.parametrize(
    "change",
    [("4GiB", f"{'9' * 400}GiB"), ("10m", ".inf"), ("10m", ".nan"), ("4GiB", "-.inf"), ("10m", f"{'9' * 400}h")],
)
def test_a_limit_beyond_all_bounds_is_told_at_its_line(change: tuple[str, str]) -> None:
    assert told(GOOD.replace(*change)).startswith("matrix.yaml:5:")


def test_a_pipe_or_a_device_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UsageError, match="not a regular file"):
            load.load(file, CATALOG)


def test_a_wrong_type_does_not_hide_the_other_mistakes() -> None:
    message = told(GOOD.replace("original, fp16", "original, 5, fp61").replace("pytorch, onn", "pytorch, pytorhc, onn"))
    assert "unknown pass 'fp61'" in message
    assert "'pytorhc'" in message
    assert "methods[1]" in message


def test_of_very_many_mistakes_twenty_are_told_and_the_rest_counted() -> None:
    message = told(GOOD.replace("original, fp16", "original, " + ", ".join(f"nothing-{i}" for i in range(500))))
    assert message.count("unknown pass") == document.MAX_TOLD
    assert "480 more mistakes" in message


@given(st.data())
def test_no_mutation_of_a_matrix_file_is_a_traceback(data: st.DataObject) -> None:
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(st.sampled_from(PIECES) | st.text(max_size=6)) + text[at + length :]
    with contextlib.suppress(UsageError):  # a mistake that is told; anything else fails here
        load.parse(text, "matrix.yaml", CATALOG)


PIECES = [
    "[",
    "{",
    "&a ",
    "*a",
    "!!int ",
    "!!set ",
    ": ",
    "- ",
    "\n",
    "\t",
    "null",
    "1e999",
    ".nan",
    "0x",
    "|\n",
    "#",
    "<<: *a",
]
