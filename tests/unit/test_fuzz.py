"""Every fuzz target takes its good inputs, and some spoiled ones; the runner finds what must not happen."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.fuzz.target import Target, targets
from tests.fuzz.worker import Tally, fuzz, try_one

TARGETS = targets()
INPUTS = 60  # of each target: the whole is `nox -s fuzz`


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds(name: str, tmp_path: Path) -> None:
    for number, good in enumerate(TARGETS[name].seeds):
        (tmp_path / str(number)).mkdir()
        TARGETS[name].read(good, tmp_path / str(number))


@pytest.mark.parametrize("name", TARGETS)
def test_spoiled_inputs_are_refused_and_nothing_else(name: str, tmp_path: Path) -> None:
    tally = Tally()
    fuzz(TARGETS[name], INPUTS, 0, lambda data: try_one(TARGETS[name], data, tmp_path, tally))
    assert tally.inputs >= INPUTS // 2
    assert list(tally.findings.values()) == []


def misbehave(data: bytes, folder: Path) -> None:
    if data[:1] == b"h":
        time.sleep(60)
    elif data[:1] == b"t":
        raise IndexError("a bug")
    elif data[:1] == b"r":
        raise KeyError("a refusal")


def test_the_runner_tells_a_traceback_a_hang_and_a_refusal_apart(tmp_path: Path) -> None:
    target = Target("bad", (b"",), st.binary(), misbehave, (KeyError,))
    tally = Tally()
    for data in (b"h", b"t1", b"t2", b"r", b"fine"):
        try_one(target, data, tmp_path, tally, seconds=0.05)
    assert (tally.inputs, tally.refused, tally.tracebacks, tally.hangs) == (5, 1, 2, 1)
    assert set(tally.examples.values()) == {b"h", b"t1"}
