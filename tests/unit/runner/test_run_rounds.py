"""A run measures more where its rounds were noisy or differ, the most unsure first, and never for ever."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from harness.engines.contract import Job, Outcome
from tests.in_process import CELLS, ROUNDS, Behaviour, InProcess, execute, kinds, say, succeed


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "store"


def disturbed(job: Job) -> Outcome:
    return succeed(job, "throttled")


def extra(engine: InProcess) -> list[str]:
    return sorted(key for key in engine.ran if key.startswith("measure") and int(key[-1]) >= ROUNDS)


def test_a_quiet_cell_has_no_extra_rounds(work: Path) -> None:
    engine = InProcess()
    execute(work, engine)
    assert extra(engine) == []


def test_a_noisy_round_is_made_good_by_another_before_anything_is_evaluated(work: Path) -> None:
    engine = InProcess({"measure-a-1": disturbed})
    execute(work, engine)
    assert extra(engine) == ["measure-a-3"]
    assert kinds(engine.ran).index("evaluate") > engine.ran.index("measure-a-3")


def test_a_round_on_a_slowed_processor_is_made_good_too(work: Path) -> None:
    """Its own counters say nothing; the pace of the other rounds of the run does."""
    engine = InProcess({"measure-a-1": partial(succeed, pace_ns=140_000)})
    execute(work, engine)
    assert extra(engine) == ["measure-a-3"]


def test_a_cell_that_is_always_noisy_is_not_measured_for_ever(work: Path) -> None:
    behaviours: dict[str, Behaviour] = {f"measure-a-{number}": disturbed for number in range(ROUNDS + 2)}
    engine = InProcess(behaviours)
    execute(work, engine)
    assert extra(engine) == ["measure-a-3", "measure-a-4"]
    again = InProcess(behaviours)
    execute(work, again)
    assert again.ran == []


def test_all_extra_rounds_share_one_budget(work: Path) -> None:
    """Eight cells of three rounds took 24 s; a fifth of that is four rounds, and no second run finds time for more."""
    engine = InProcess({f"measure-{name}-{number}": disturbed for name in CELLS for number in range(ROUNDS + 2)})
    execute(work, engine)
    assert len(extra(engine)) == 4
    again = InProcess()
    execute(work, again)
    assert again.ran == []


def test_the_cell_that_is_most_unsure_comes_first(work: Path) -> None:
    """One cell's rounds differ twofold, of the others a round was noisy: the latter come first, as far as the time goes."""
    slow = partial(succeed, nanoseconds=2000)
    engine = InProcess({"measure-a-1": slow} | {f"measure-{name}-1": disturbed for name in CELLS[1:5]})
    execute(work, engine)
    assert extra(engine) == [f"measure-{name}-3" for name in CELLS[1:5]]


def test_of_cells_that_want_quiet_rounds_the_widest_comes_first(work: Path) -> None:
    """Of each cell a round was noisy, and the time is enough for four more rounds: they are of the last cells, which differ."""
    engine = InProcess(
        {f"measure-{name}-1": disturbed for name in CELLS}
        | {f"measure-{name}-2": partial(succeed, nanoseconds=2000) for name in CELLS[4:]}
    )
    execute(work, engine)
    assert extra(engine) == [f"measure-{name}-3" for name in CELLS[4:]]


def test_an_extra_round_that_fails_is_not_tried_again_in_the_same_run(work: Path) -> None:
    engine = InProcess({"measure-a-1": disturbed, "measure-a-3": say("crashed", "killed")})
    run = execute(work, engine)
    assert engine.ran.count("measure-a-3") == 1
    assert run.failures.keys() == {"measure-a-3"}
