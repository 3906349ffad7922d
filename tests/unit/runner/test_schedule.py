"""Tasks wait for what they need, lanes hold no more than they may, and what goes wrong is told when all has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.runner import schedule
from harness.runner.interrupt import Killed
from harness.runner.schedule import Task, side_by_side

LANES = {"build": 1, "step": 2}


def never() -> None:
    """A check that finds nothing."""


def task(name: str, do: Callable[[], None], *needs: str, lane: str = "step") -> Task:
    return Task(name, lane, frozenset(needs), do)


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[str, str, list[str]]]:
    """Tasks in any order, each needing some that were drawn before it."""
    drawn: list[tuple[str, str, list[str]]] = []
    for number in range(draw(st.integers(0, 12))):
        needs = draw(st.lists(st.sampled_from([name for name, _, _ in drawn]), unique=True)) if drawn else []
        drawn.append((str(number), draw(st.sampled_from(sorted(LANES))), needs))
    return draw(st.permutations(drawn))


@given(graphs())
def test_every_task_runs_once_after_all_that_it_needs_and_lanes_are_never_overfull(
    graph: list[tuple[str, str, list[str]]],
) -> None:
    lock = threading.Lock()
    done: list[str] = []
    now = dict.fromkeys(LANES, 0)

    def do(name: str, lane: str, needs: list[str]) -> None:
        with lock:
            now[lane] += 1
            assert now[lane] <= LANES[lane]
            assert set(needs) <= set(done)
        with lock:
            now[lane] -= 1
            done.append(name)

    tasks = [
        Task(name, lane, frozenset(needs), lambda n=name, la=lane, ne=needs: do(n, la, ne))  # type: ignore[misc]
        for name, lane, needs in graph
    ]
    side_by_side(tasks, LANES, never)
    assert sorted(done) == sorted(name for name, _, _ in graph)


def test_a_need_that_is_no_task_is_done_already() -> None:
    done: list[str] = []
    side_by_side([task("a", lambda: done.append("a"), "made yesterday")], LANES, never)
    assert done == ["a"]


def test_two_tasks_of_a_lane_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    side_by_side([task("a", lambda: both.wait() and None), task("b", lambda: both.wait() and None)], LANES, never)


def test_an_error_is_raised_after_all_that_runs_has_ended_and_nothing_else_begins() -> None:
    failed, done = threading.Event(), list[str]()

    def fail() -> None:
        failed.set()
        raise OSError("the disk is full")

    def end_later() -> None:
        failed.wait(10)
        done.append("b")

    tasks = [task("a", fail), task("b", end_later), task("c", lambda: done.append("c"), "b")]
    with pytest.raises(OSError, match="the disk is full"):
        side_by_side(tasks, LANES, never)
    assert done == ["b"]


def test_nothing_begins_once_the_check_refuses() -> None:
    done: list[str] = []

    def refuse() -> None:
        if done:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        side_by_side([task("a", lambda: done.append("a")), task("b", lambda: done.append("b"), "a")], LANES, refuse)
    assert done == ["a"]


def test_what_cannot_be_ended_is_not_waited_for_after_the_second_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "GRACE_S", 0.01)
    begun, over = threading.Event(), threading.Event()

    def download() -> None:
        begun.set()
        over.wait(60)

    def fail() -> None:
        begun.wait(10)
        raise Killed

    with pytest.raises(Killed):
        side_by_side([task("a", download), task("b", fail)], LANES, never)
    over.set()
