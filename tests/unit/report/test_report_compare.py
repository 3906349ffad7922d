"""Two runs: what changed is told with its sign, noise is not, and a regression ends with its exit code."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.report.history.compare import as_markdown, compare
from harness.results import Cell, Latency, Quality, Results, Round, Status
from tests.history_factory import at
from tests.results_factory import OTHER, hostile, results, two_machines

BEFORE = results()
(ID, *_) = [cell.id for cell in BEFORE.cells if cell.status is Status.OK and cell.quality]


def changed(change: Callable[[Cell], Cell], before: Results = BEFORE) -> Results:
    cells = [change(cell) if cell.id == ID else cell for cell in before.cells]
    return before.model_copy(update={"cells": cells})


def slowed(factor: float) -> Callable[[Cell], Cell]:
    def change(cell: Cell) -> Cell:
        assert cell.latency_ms
        rounds = [each.model_copy(update={"median_ms": factor * each.median_ms}) for each in cell.latency_ms.rounds]
        return cell.model_copy(update={"latency_ms": cell.latency_ms.model_copy(update={"rounds": rounds})})

    return change


def worse(drop: float) -> Callable[[Cell], Cell]:
    def change(cell: Cell) -> Cell:
        assert cell.quality
        value = cell.quality.value + (-drop if cell.quality.higher_is_better else drop)
        moved = {"value": value, "interval": (value - 1e-4, value + 1e-4)}
        return cell.model_copy(update={"quality": cell.quality.model_copy(update=moved)})

    return change


def signs(after: Results, before: Results = BEFORE, threshold: float = 0.05) -> dict[str, bool]:
    (change,) = [c for c in compare(before, after, threshold).changes if c.after.id == ID]
    return dict(change.signs)


def test_a_run_beside_itself_has_no_change() -> None:
    found = compare(BEFORE, BEFORE)
    assert not any(change.signs for change in found.changes)
    assert "no change" in as_markdown(found)


@given(st.floats(1.3, 3.0))
def test_a_clear_change_of_speed_has_its_sign(factor: float) -> None:
    assert signs(changed(slowed(factor))) == {"speed": False}
    assert signs(changed(slowed(1 / factor))) == {"speed": True}


def test_a_change_below_the_threshold_is_none() -> None:
    assert signs(changed(slowed(1.3)), threshold=0.5) == {}
    bigger = changed(lambda cell: cell.model_copy(update={"weights_bytes": round(1.04 * (cell.weights_bytes or 0))}))
    assert signs(bigger) == {}
    assert signs(bigger, threshold=0.01) == {"weights": False}


def test_noise_is_no_change_of_speed() -> None:
    """Two rounds each that lie far apart: the medians differ by half, and yet nothing is known."""

    def noisy(*medians: float) -> Callable[[Cell], Cell]:
        rounds = [Round(samples_ms=[m], median_ms=m, ended_by="budget", warmup_calls=1, noisy=None) for m in medians]
        latency = Latency(p50=medians[0], p90=medians[1], p99=medians[1], interval=None, rounds=rounds)
        return lambda cell: cell.model_copy(update={"latency_ms": latency})

    assert signs(changed(noisy(2.0, 4.0)), changed(noisy(1.0, 3.0))) == {}


def test_quality_and_status_have_their_signs() -> None:
    assert signs(changed(worse(0.3)), changed(worse(0))) == {"quality": False}
    broken = changed(lambda cell: cell.model_copy(update={"status": Status.CRASHED, "reason": "boom"}))
    assert signs(broken)["status"] is False
    assert signs(BEFORE, broken)["status"] is True


def test_quality_whose_intervals_overlap_is_not_worse() -> None:
    wide = Quality(metric="f1", value=0.80, interval=(0.70, 0.90), examples=10, higher_is_better=True)
    low = wide.model_copy(update={"value": 0.76, "interval": (0.66, 0.86)})
    before, after = (changed(lambda cell, q=q: cell.model_copy(update={"quality": q})) for q in (wide, low))  # type: ignore[misc]
    assert signs(after, before) == {}


def test_runs_of_different_machines_are_not_compared_in_speed_and_memory() -> None:
    after = at("2026-11-25T04:12:09Z", changed(slowed(3)), host="another")
    found = compare(BEFORE, after)
    assert not any(change.signs for change in found.changes)
    assert "23 of 32 cells were measured on different machines (before: f3a9c1d2; after: another)" in as_markdown(found)


def test_a_table_of_two_machines_is_compared_machine_by_machine() -> None:
    both = two_machines()
    assert not any(change.signs or change.apart for change in compare(both, both).changes)
    moved = compare(BEFORE, both)
    assert (len(moved.changes), moved.apart) == (32, 0)
    assert sorted(moved.only_after) == sorted(cell.id for cell in both.cells if cell.machine == OTHER)


def test_cells_of_one_run_only_are_named() -> None:
    fewer = BEFORE.model_copy(update={"cells": BEFORE.cells[1:]})
    assert compare(BEFORE, fewer).only_before == compare(fewer, BEFORE).only_after == (BEFORE.cells[0].id,)


def test_hostile_names_stay_text() -> None:
    run = hostile()
    assert "<img" not in as_markdown(compare(run, run.model_copy(update={"cells": []})))


def write(folder: Path, run: Results) -> str:
    file = folder / "results.json"
    folder.mkdir(exist_ok=True, parents=True)
    file.write_text(run.model_dump_json(), "utf-8")
    return str(file)


def test_the_command_prints_markdown_and_ends_with_1_on_a_regression(tmp_path: Path) -> None:
    before, after = write(tmp_path / "a", BEFORE), write(tmp_path / "b", changed(slowed(2)))
    done = CliRunner().invoke(main, ["compare", before, after])
    assert done.exit_code == 1
    assert "| **slower** | 0.500× [" in done.output or "| **slower** | 0.50× [" in done.output
    assert CliRunner().invoke(main, ["compare", after, before]).exit_code == 0
    data = json.loads(CliRunner().invoke(main, ["compare", before, after, "--json"]).output)
    assert data["changes"] == [{"id": ID, "speed": False}]


def test_a_git_revision_stands_for_its_published_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "reports", BEFORE)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    write(tmp_path / "reports", changed(slowed(2)))
    done = CliRunner().invoke(main, ["compare", "HEAD"])
    assert done.exit_code == 1
    assert "1 slower" in done.output


@pytest.mark.parametrize(
    ("text", "told"), [("nowhere", "neither a file nor a git revision"), ("bad", "holds no results")]
)
def test_what_holds_no_results_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad").write_text("{}")
    done = CliRunner().invoke(main, ["compare", text])
    assert done.exit_code == 2
    assert told in done.output
