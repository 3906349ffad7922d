"""The self-test passes where the harness finds what is known, and fails where it does not."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.contracts.record import Measurement
from harness.results import Check, SelfTest
from harness.runner import selftest
from harness.runner.store import Store
from tests.in_process import round_

MIB = 2**20
ROUND = round_()
OF = {"host": "here", "seed": 0}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here comes in spells, so that fewer extra rounds tell as much."""
    monkeypatch.setattr(selftest, "EXTRA_ROUNDS", 45)


class Bench:
    """Records as a harness would write them whose rounds scatter by ``spread`` and which sees ``slowdown`` of 5 % more work.

    In half of the rounds a neighbour makes all take ``neighbour`` times as long; the pace shows it where it is ``looked`` at.
    """

    def __init__(
        self,
        spread: float = 0.002,
        slowdown: float = 0.05,
        bias: float = 0.0,
        neighbour: float = 1.0,
        looked: bool = True,
        **memory: int,
    ) -> None:
        self.draw = random.Random(0)
        self.neighbour, self.looked = neighbour, looked
        self.spread, self.factors = spread, {"slower": 1 + slowdown, "same": 1 + bias}
        self.memory = {"held": 256, "spike": 256, "mapped": 256, "reserved": 0} | memory

    def artifact(self, name: str, products: int, memory: str = "none") -> str:
        return name

    def measure(self, name: str) -> Measurement:
        slowed = self.draw.choice((1.0, self.neighbour))
        time = 2e6 * self.factors.get(name, 1.0) * slowed * (1 + self.draw.gauss(0, self.spread))
        peak = 30 + self.memory.get(name, 0)
        pace = 1e5 * (slowed if self.looked else 1.0) * (1 + self.draw.gauss(0, 0.005))
        looks = [0.99 * pace, pace, 1.02 * pace]
        latency = replace(ROUND.latency, nanoseconds=[round(time)] * 5, pace_ns=looks)
        return replace(ROUND, latency=latency, memory=replace(ROUND.memory, peak_rss_bytes=peak * MIB))


def nothing(line: str) -> None:
    pass


def passed(bench: Bench) -> list[bool]:
    with TemporaryDirectory() as folder:
        progress = selftest._Progress.resume(Path(folder) / "unfinished.json", OF)
        checks = [*selftest._speed(bench, 20, progress, nothing), *selftest._memory(bench, nothing)]  # type: ignore[arg-type]
    return [check.passed for check in checks]


def test_a_harness_that_finds_what_is_known_passes() -> None:
    assert passed(Bench()) == [True] * 7


def test_rounds_that_differ_are_made_up_for_by_more_of_them() -> None:
    assert passed(Bench(spread=0.008)) == [True] * 7


def test_rounds_beside_a_busy_neighbour_are_told_by_their_pace() -> None:
    assert passed(Bench(spread=0.01, neighbour=1.5)) == [True] * 7
    assert not all(passed(Bench(spread=0.01, neighbour=1.5, looked=False)))


@pytest.mark.parametrize(
    ("bench", "failing"),
    [
        (Bench(bias=0.05), 0),  # the order of cells shows in their times
        (Bench(spread=0.04), 1),  # too noisy to tell 2 %
        (Bench(slowdown=0.0), 2),  # blind
        (Bench(spread=0.2), 2),  # too noisy to find anything
        (Bench(held=500), 3),  # counts virtual memory
        (Bench(spike=0), 4),  # polls
        (Bench(mapped=0), 5),  # leaves mapped weights out
        (Bench(reserved=256), 6),  # counts what is only reserved
    ],
)
def test_a_harness_that_errs_fails_the_check_of_its_error(bench: Bench, failing: int) -> None:
    assert not passed(bench)[failing]


def test_a_test_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    class Stopped(Bench):
        left = 100

        def measure(self, name: str) -> Measurement:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().measure(name)

    file, said = tmp_path / "unfinished.json", []
    with pytest.raises(KeyboardInterrupt):
        list(selftest._speed(Stopped(), 20, selftest._Progress.resume(file, OF), nothing))  # type: ignore[arg-type]
    progress = selftest._Progress.resume(file, OF)
    assert len(progress.repeats) == 6  # ten rounds for the pace, fifteen a repeat
    checks = list(selftest._speed(Bench(), 20, progress, said.append))  # type: ignore[arg-type]
    assert said[0] == "speed: goes on after 6 repeats of an earlier test that was stopped"
    assert [check.found for check in checks] == ["0 of 20", "20 of 20, by 5 rounds each (at most 5)", "20 of 20"]
    assert selftest._Progress.resume(file, OF | {"seed": 1}).repeats == []


def test_the_last_one_counts_on_its_own_machine_and_engine_only(tmp_path: Path) -> None:
    check = Check(name="a", wanted="b", found="c", passed=True)
    made = SelfTest(created_at="2026-11-24T00:00:00+00:00", host="here", engine="docker", checks=[check])
    store = Store(tmp_path)
    assert selftest.last(store, "here", "docker") is None
    (tmp_path / selftest.FILE).write_text(made.model_dump_json())
    assert selftest.last(store, "here", "docker") == made
    assert selftest.last(store, "there", "docker") is None
    assert selftest.last(store, "here", "venv") is None


def test_the_table_says_which_check_failed() -> None:
    checks = [
        Check(name="memory", wanted="1", found="1", passed=True),
        Check(name="speed", wanted="2", found="3", passed=False),
    ]
    table = selftest.text(SelfTest(created_at="", host="", engine="", checks=checks)).splitlines()
    assert [line.split()[0] for line in table] == ["check", "ok", "FAILED"]
