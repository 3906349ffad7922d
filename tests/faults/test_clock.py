"""The clock of the machine is set back, or forth, while a run goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Lay
from tests.faults.rig import Tally

TallyOf = Callable[[str, str], Tally]
PLACES = ("/usr/lib/*-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")


def library() -> str:
    """libfaketime, of which MATRIX_FAKETIME may say where it lies."""
    given = os.environ.get("MATRIX_FAKETIME")
    found = [given] if given else [str(file) for place in PLACES for file in Path("/").glob(place[1:])]
    if not found:
        pytest.skip("a clock that is set needs libfaketime (Debian: faketime)")
    return found[0]


@pytest.mark.parametrize(("shift", "after"), [("-1d", "measure"), ("-10y", "measure"), ("+1d", "prepare")])
def test_the_clock_is_set_while_a_run_goes_on(
    lay: Lay, tally: TallyOf, engine: str, tmp_path: Path, shift: str, after: str
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    faked = {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    faked |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    project, line = lay(seconds=0.3), tally(f"the clock is set by {shift}", engine)
    running = project.start(**faked)
    running.wait_for("step", kind=after)
    before = project.measured()
    clock.write_text(shift)
    time.sleep(0.1)
    code, told = running.end()
    assert code == 0, told
    assert "Traceback" not in told
    line.note(sum(project.measured().get(key) != found for key, found in before.items()))
    line.note(project.finishes(project.measured()))


def test_another_run_is_alive_when_the_clock_was_set(lay: Lay, tally: TallyOf, engine: str, tmp_path: Path) -> None:
    """What it runs is not taken for what a dead run left."""
    clock = tmp_path / "clock"
    clock.write_text("+1d")
    faked = {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    faked |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    project, line = lay(seconds=1), tally("the clock is set, and another run begins beside", engine)
    running = project.start()
    running.wait_for("step", kind="measure")
    beside = lay("beside")
    beside.environment = {**beside.environment, **faked}
    assert beside.run().returncode == 0
    code, told = running.end()
    assert code == 0, told
    line.note(project.finishes(project.measured()))
