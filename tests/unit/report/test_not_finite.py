"""Overflow is an ordinary outcome of compression: numbers that are not finite are written, drawn, exported and compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.report import render
from harness.report.files.export import export
from harness.report.history.compare import as_markdown, compare
from harness.report.site import publish
from harness.results import Cell, CellNoise, Fidelity, Results, SearchRecord, SearchTrial, Status, parse, read
from tests.results_factory import results, wrap


def complete() -> Results:
    """Two cells in which every number is there, and their baseline."""
    base, *others = [cell for cell in results(rounds=3).cells if cell.model == "smollm2-135m" and cell.quality][:3]
    trial = SearchTrial(
        passes="a", status=Status.OK, latency_ms=1.5, weights_bytes=9, quality=0.5, quality_drop=0.1,
        within=True, front=True, chosen=True,
    )  # fmt: skip
    noise = CellNoise(
        steal_share=0.1, others_share=0.2, throttled=0, major_faults=0, preempted=1, load_before=0.3,
        clock_before_mhz=2000.0, clock_after_mhz=2100.0,
    )  # fmt: skip

    def filled(cell: Cell) -> Cell:
        assert cell.latency_ms
        assert cell.quality
        rounds = [each.model_copy(update={"noise": noise}) for each in cell.latency_ms.rounds]
        quality = cell.quality.model_copy(update={"change": 0.01, "change_interval": (-0.02, 0.03)})
        more = {
            "quality": quality,
            "more_quality": [quality.model_copy(update={"metric": "other"})],
            "energy_j": 0.25,
            "latency_ms": cell.latency_ms.model_copy(update={"rounds": rounds}),
            "fidelity": Fidelity(
                positions=3, top1_agreement=0.9, kl_divergence=0.01, max_logit_difference=0.5, tolerance="int8"
            ),
            "search": SearchRecord(budgets={"latency_ms": 2.5}, reason="because", trials=[trial]),
        }
        return cell.model_copy(update=more)

    return wrap([base, *map(filled, others)])


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a number that is no whole one stands in a dump."""
    if isinstance(value, float):
        yield path
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from paths(part, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from paths(part, (*path, index))


def fields(data: Any) -> dict[str, list[tuple[str | int, ...]]]:
    """The same by the names of fields: all samples of all rounds of all cells are one."""
    found: dict[str, list[tuple[str | int, ...]]] = {}
    for path in paths(data):
        if path[:2] != ("cells", 0):  # the baseline stays what it is, so that there is something to compare with
            found.setdefault(".".join(str(part) for part in path if isinstance(part, str)), []).append(path)
    return found


COMPLETE = complete()
WHOLE = COMPLETE.model_dump(mode="python")
FIELDS = fields(WHOLE)


def with_value(names: list[str], value: float) -> Results:
    data = json.loads(json.dumps(WHOLE))
    for name in names:
        for path in FIELDS[name]:
            place = data
            for part in path[:-1]:
                place = place[part]
            place[path[-1]] = value
    return parse(json.dumps(data).encode())


def check(run: Results, folder: Path) -> None:
    render(run, folder / "reports", before=COMPLETE)
    text = (folder / "reports" / "results.json").read_text("utf-8")
    json.loads(text, parse_constant=pytest.fail)
    assert repr(read(folder / "reports" / "results.json")) == repr(run)
    for format_ in ("csv", "json", "markdown", "latex"):
        export(run, format_)
    json.loads(export(run, "json"), parse_constant=pytest.fail)
    as_markdown(compare(COMPLETE, run))
    as_markdown(compare(run, COMPLETE))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_all_numbers_at_once(tmp_path: Path, value: float) -> None:
    run = with_value(list(FIELDS), value)
    check(run, tmp_path)
    render(COMPLETE, tmp_path / "before", before=run)
    publish(tmp_path / "reports", tmp_path / "site", {})
    json.loads((tmp_path / "site" / "history.json").read_text("utf-8"), parse_constant=pytest.fail)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_number_alone(tmp_path: Path, name: str) -> None:
    for value in (math.nan, math.inf):
        check(with_value([name], value), tmp_path / str(value))


def test_there_are_all_numbers_that_a_result_has() -> None:
    assert {"cells.quality.value", "cells.latency_ms.rounds.samples_ms", "cells.fidelity.kl_divergence"} <= set(FIELDS)
    assert len(FIELDS) >= 35


def test_an_endless_perplexity_is_shown_and_never_picked(tmp_path: Path) -> None:
    run = with_value(["cells.quality.value"], math.inf)
    render(run, tmp_path)
    assert "perplexity ∞" in (tmp_path / "README.md").read_text("utf-8")
    assert "Infinity" in (tmp_path / "results.csv").read_text("utf-8")
