"""The picks keep to the loss that one accepts, call ties ties, and never praise a row whose outputs diverged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.table.build import build
from harness.report.table.model import Group
from harness.report.table.picks import Picks, original_quality, picks
from harness.results import Cell, Latency, Quality, Round, Status
from tests.results_factory import failed, results, wrap


def cell(method: str, milliseconds: float, *, megabytes: float = 1.0, value: float = 0.9, **more: Any) -> Cell:
    higher = more.pop("higher", True)
    medians = [milliseconds * factor for factor in (0.999, 1.0, 1.001, 1.0, 1.0)]
    rounds = [Round(samples_ms=[m], median_ms=m, ended_by="budget", warmup_calls=1) for m in medians]
    latency = Latency(p50=milliseconds, p90=milliseconds, p99=milliseconds, interval=None, rounds=rounds)
    quality = Quality(
        metric="accuracy", value=value, examples=9, higher_is_better=higher, change=more.pop("change", None)
    )
    base = failed("minilm-ner", method, "pytorch", Status.OK, "")
    measured = {"latency_ms": latency, "quality": quality, "weights_bytes": round(megabytes * 1e6), "ram_bytes": 10**8}
    return base.model_copy(update={"status": Status.OK, "reason": None, **measured, **more})


def group(*cells: Cell) -> Group:
    (found,) = build(wrap(list(cells))).groups
    return found


def methods(found: Picks) -> dict[str, str | None]:
    named = {"fastest": found.fastest, "smallest": found.smallest, "balanced": found.balanced}
    return {name: pick.row.cell.method if pick else None for name, pick in named.items()}


def test_the_fastest_and_the_smallest_of_those_that_keep_the_quality() -> None:
    found = picks(
        group(cell("original", 10), cell("quick", 5), cell("small", 8, megabytes=0.2), cell("wrong", 1, value=0.5))
    )
    assert methods(found) == {"fastest": "quick", "smallest": "small", "balanced": "small"}
    assert found.candidates == 3


@pytest.mark.parametrize(("higher", "value"), [(True, 0.89), (False, 0.91)])
def test_loss_counts_in_the_direction_of_the_metric(higher: bool, value: float) -> None:
    """From 0.90 to 0.89, or to 0.91 where less is better, is a loss of 1.1 %."""
    found = group(cell("original", 10, higher=higher), cell("quick", 5, value=value, higher=higher))
    assert methods(picks(found, 0.01))["fastest"] == "original"
    assert methods(picks(found, 0.012))["fastest"] == "quick"


def test_rows_that_the_rounds_cannot_tell_apart_tie() -> None:
    found = picks(group(cell("original", 10), cell("quick", 5), cell("as-quick", 5.01)))
    assert found.fastest
    assert [row.cell.method for row in found.fastest.ties] == ["as-quick"]


def test_sizes_within_a_percent_tie() -> None:
    found = picks(group(cell("original", 10), cell("a", 10, megabytes=0.5), cell("b", 10, megabytes=0.504)))
    assert found.smallest
    assert [row.cell.method for row in found.smallest.ties] == ["b"]


def test_a_diverged_row_is_never_picked() -> None:
    found = picks(group(cell("original", 10), cell("quick", 1, status=Status.DIVERGED)))
    assert methods(found)["fastest"] == "original"


def test_without_an_original_nothing_can_be_said_of_a_loss() -> None:
    alone = group(cell("int8", 10))
    assert original_quality(alone) is None
    assert methods(picks(alone)) == {"fastest": None, "smallest": None, "balanced": None}


def test_the_original_may_have_been_measured_elsewhere() -> None:
    assert original_quality(group(cell("int8", 10, value=0.8, change=-0.1))) == pytest.approx(0.9)


GROUPS = build(results()).groups


@given(st.floats(0, 0.2), st.floats(0, 0.2))
def test_who_accepts_more_never_gets_less(one: float, other: float) -> None:
    less, more = sorted((one, other))
    for found in GROUPS:
        narrow, wide = picks(found, less), picks(found, more)
        assert narrow.candidates <= wide.candidates
        if narrow.fastest and wide.fastest:
            assert narrow.fastest.row.cell.latency_ms.p50 >= wide.fastest.row.cell.latency_ms.p50  # type: ignore[union-attr]
