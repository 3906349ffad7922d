"""What a step fills while it runs is bounded: its folder, one file, the disk below it, its log."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engines.bounds import Bounds
from harness.engines.contract import Outcome
from harness.engines.host.engine import HostEngine
from harness.engines.takeover import remove
from harness.engines.watch import exceeded
from tests.jobs import job, kept

MIB = 2**20


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str, Bounds], Outcome]:
    """Run a shell script as a step with these bounds."""

    def run(script: str, bounds: Bounds) -> Outcome:
        given = replace(job(tmp_path, script), bounds=bounds)
        return HostEngine(tmp_path / "work").run(given, lambda _: None)

    return run


MANY = "n=0; while :; do head -c 1000000 /dev/zero > {name}$n; n=$((n+1)); sleep 0.01; done"
FILLS = {
    "its folder": (MANY.format(name="f"), "MATRIX_OUTPUT_BYTES"),
    "a folder below": ("mkdir -p a/b; " + MANY.format(name="a/b/f"), "MATRIX_OUTPUT_BYTES"),
    "its scratch": (MANY.format(name="tmp/f"), "MATRIX_OUTPUT_BYTES"),
    "entries": ("n=0; while :; do mkdir d$n; : > d$n/f; n=$((n+1)); done", "MATRIX_OUTPUT_FILES"),
}


@pytest.mark.parametrize("name", FILLS)
def test_a_step_that_fills_its_folder_is_ended_while_it_runs(run: Callable[[str, Bounds], Outcome], name: str) -> None:
    script, setting = FILLS[name]
    outcome = run(script, replace(Bounds(), bytes=16 * MIB, entries=500))
    assert setting in str(outcome.exceeded)
    assert (outcome.timed_out, outcome.oom) == (False, False)


@pytest.mark.parametrize("where", ["out", "tmp/x", "$HERE/outside"])
def test_no_file_of_a_step_grows_beyond_its_bound(
    run: Callable[[str, Bounds], Outcome], tmp_path: Path, where: str
) -> None:
    outcome = run(f"HERE={tmp_path}; head -c 9000000 /dev/zero > {where}", replace(Bounds(), bytes=8 * MIB))
    assert outcome.exit_code != 0
    assert max(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) == 8 * MIB


def test_a_log_of_a_gigabyte_costs_what_its_bound_says(run: Callable[[str, Bounds], Outcome], tmp_path: Path) -> None:
    outcome = run("head -c 1000000000 /dev/zero", replace(Bounds(), log_bytes=MIB))
    assert outcome.exit_code == 0
    assert (tmp_path / "log.txt").stat().st_size < MIB + 200
    assert "MATRIX_LOG_BYTES is the bound" in kept(tmp_path)


def test_hard_links_count_once_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "large").write_bytes(bytes(9 * MIB))
    left = tmp_path / "left"
    left.mkdir()
    (left / "a").write_bytes(bytes(4 * MIB))
    for number in range(9):
        os.link(left / "a", left / f"b{number}")
    (left / "folder").symlink_to(tmp_path / "outside")
    (left / "file").symlink_to(tmp_path / "outside" / "large")
    assert exceeded(left, replace(Bounds(), bytes=5 * MIB)) is None
    assert "MATRIX_OUTPUT_BYTES" in str(exceeded(left, replace(Bounds(), bytes=3 * MIB)))


def test_a_folder_without_end_is_looked_at_no_deeper_than_its_bound(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert exceeded(top, Bounds()) is None
    assert "MATRIX_OUTPUT_FILES" in str(exceeded(top, replace(Bounds(), entries=5)))
    remove(top)  # no path is as long as those in it
