"""The search keeps its budgets, goes through the same trials again, and says what it found and why."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.matrix.spec import PassUse, Search
from harness.results import Cell, Latency, Quality, Status
from harness.runner.search import Choice, Passes, describe, search

#: passes -> milliseconds, megabytes, accuracy; what is not here cannot be made
WORLD = {
    "original": (10.0, 100, 0.90),
    "fp16": (9.0, 50, 0.90),
    "int8": (4.0, 25, 0.895),
    "prune amount=0.5": (5.0, 60, 0.80),
    "prune amount=0.2": (8.0, 90, 0.90),
    "prune amount=0.2 + int8": (3.0, 22, 0.893),
    "prune amount=0.5 + int8": (2.0, 12, 0.70),
}
CHOICES = [[{"prune": {"amount": [0.2, 0.5]}}], ["fp16", "int8"]]


def cell(latency: float, megabytes: float, accuracy: float) -> Cell:
    return Cell(
        id="m/auto/r/cpu/b1",
        model="m",
        task="image-classification",
        method="auto",
        runtime="r",
        device="cpu",
        workload={"batch": 1},
        status=Status.OK,
        weights_bytes=round(megabytes * 1e6),
        latency_ms=Latency(p50=latency, p90=latency, p99=latency, interval=None, rounds=[]),
        quality=Quality(metric="accuracy", value=accuracy, examples=100, higher_is_better=True),
    )


def measure(passes: Passes) -> Cell:
    if describe(passes) not in WORLD:
        return cell(1, 1, 1).model_copy(update={"status": Status.UNSUPPORTED, "reason": "no", "latency_ms": None})
    return cell(*WORLD[describe(passes)])


def found(measure: Callable[[Passes], Cell] = measure, **budgets: float) -> Choice:
    space = Search.model_validate({"choices": CHOICES, "trials": 9, **budgets})
    return search(space, 0, measure)


def passes(choice: Choice) -> str:
    assert choice.passes is not None
    return describe(choice.passes)


def test_the_fastest_within_the_quality_that_may_be_lost_is_chosen() -> None:
    assert passes(found(quality_drop=0.01)) == "prune amount=0.2 + int8"
    assert passes(found(quality_drop=0.006)) == "int8"
    assert passes(found(quality_drop=0.3)) == "prune amount=0.5 + int8"


def test_the_reason_tells_how_many_were_tried_and_what_was_gained() -> None:
    told = found(quality_drop=0.01).record.reason
    assert "of 9 tried within quality_drop <= 0.01" in told
    assert "3.33 times the original's speed, quality -0.78%" in told


def test_every_budget_is_kept() -> None:
    record = found(quality_drop=0.5, weights_mb=30, latency_ms=4).record
    for trial in record.trials:
        inside = trial.quality_drop is not None and trial.quality_drop <= 0.5
        assert trial.within == bool(
            inside and trial.weights_bytes <= 30e6 and trial.latency_ms is not None and trial.latency_ms <= 4
        )


def test_where_no_combination_keeps_the_budgets_nothing_is_chosen_and_the_nearest_is_told() -> None:
    choice = found(quality_drop=0.0, latency_ms=1)
    assert choice.passes is None
    assert "none of 9 combinations keeps quality_drop <= 0, latency_ms <= 1" in choice.record.reason
    assert not any(trial.chosen or trial.front for trial in choice.record.trials)


def test_latencies_too_near_to_tell_apart_leave_the_word_to_the_size() -> None:
    def close(passes: Passes) -> Cell:
        ms = {"original": 10.0, "fp16": 9.9, "int8": 9.8}.get(describe(passes))
        size = {"original": 100, "fp16": 20, "int8": 25}.get(describe(passes), 1)
        return cell(ms, size, 0.9) if ms else measure((PassUse(name="absent"),))

    assert passes(found(close, quality_drop=0.01)) == "fp16"


def test_what_cannot_be_made_is_in_the_record_and_never_chosen() -> None:
    record = found(quality_drop=0.3).record
    lacking = {trial.passes for trial in record.trials if trial.status is Status.UNSUPPORTED}
    assert lacking == {"prune amount=0.2 + fp16", "prune amount=0.5 + fp16"}


def test_nothing_at_all_can_be_measured() -> None:
    choice = found(lambda _: measure((PassUse(name="absent"),)), quality_drop=0.1)
    assert choice.passes is None
    assert "none of 9 combinations could be measured" in choice.record.reason


@settings(max_examples=20)
@given(trials=st.integers(2, 9), seed=st.integers(0, 3))
def test_the_original_comes_first_each_combination_once_never_more_than_the_trials_and_the_same_again(
    trials: int, seed: int
) -> None:
    space = Search.model_validate({"choices": CHOICES, "trials": trials, "quality_drop": 0.1})
    asked: list[list[str]] = [[], []]
    for order in asked:

        def note(passes: Passes, order: list[str] = order) -> Cell:
            order.append(describe(passes))
            return measure(passes)

        search(space, seed, note)
    first, again = asked
    assert first == again
    assert first[0] == "original"
    assert len(set(first)) == len(first) <= trials
