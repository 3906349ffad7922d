"""Disks that are full, read-only or broken: one line, code 3, nothing lost, and the next run finishes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Lay, lacking
from tests.faults.disks import Disk, disk
from tests.faults.rig import Tally

TallyOf = Callable[[str, str], Tally]


def check_end(code: int, told: str, reason: str) -> None:
    assert code == 3, told
    assert "Traceback" not in told, told
    assert reason in told, told
    errors = [line for line in told.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, told


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() or not shutil.which("mkfs.ext4"):
        lacking("a small disk needs root and mkfs.ext4")


@pytest.fixture(params=["tmpfs", "ext4"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path, request.param, 64) as made:
        yield made


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path, "ext4", 64) as made:
        yield made


@pytest.mark.parametrize("kind", ["prepare", "measure", "evaluate"])
@pytest.mark.parametrize("left", [0, 8192], ids=["no-byte", "two-blocks"])
def test_the_disk_of_the_store_is_full(
    lay: Lay, tally: TallyOf, engine: str, tmp_path: Path, kind: str, left: int
) -> None:
    with disk(tmp_path, "ext4", 700) as small:
        project, line = (
            lay(work=small.mounted / "work"),
            tally(f"the disk of the store is full in a step: {kind}", engine),
        )
        running = project.start()
        running.wait_for("step", kind=kind)
        filler = small.fill(left)
        before = project.measured()
        code, told = running.end()
        if code == 3:  # the step itself may have been the first to meet it: that is its row's reason
            check_end(code, told, "no space left")
        assert code in (1, 3), told
        assert "Traceback" not in told, told
        assert before.items() <= project.measured().items()
        filler.unlink()
        line.note(project.finishes(project.measured()))


def test_the_disk_of_the_report_is_full(lay: Lay, tally: TallyOf, engine: str, small: Disk) -> None:
    project, line = lay(), tally("the disk of the report is full", engine)
    filler = small.fill()
    done = project.run("run", "--progress", "plain", "--out", str(small.mounted / "reports"))
    check_end(done.returncode, done.stderr, "no space left")
    filler.unlink()
    line.note(project.finishes(project.measured()))


def test_a_step_fills_its_disk(lay: Lay, tally: TallyOf, engine: str, tmp_path: Path) -> None:
    """It is ended before the disk is full, and its row says so; the other row is measured."""
    fault = "import os, tempfile, time\nroot = '/step/tmp' if os.path.exists('/step/tmp') else tempfile.gettempdir()\n"
    fault += "for n in range(10**6): open(f'{root}/f{n}', 'wb').write(bytes(2**19)); time.sleep(0.004)"
    with disk(tmp_path, "ext4", 700) as made:
        project = lay(work=made.mounted / "work", fault=fault)
        line = tally("a step fills the disk of the store", engine)
        settings = {"MATRIX_FREE_BYTES": str(300 * 2**20)}
        done = project.run("run", "--progress", "plain", **settings)
        assert done.returncode == 1, done.stderr
        reasons = {cell["workload"]["batch"]: cell["reason"] for cell in project.cells()}
        assert "MATRIX_FREE_BYTES" in reasons[2]
        assert reasons[1] is None
        before = project.measured()
        project.run("run", "--progress", "plain", **settings)
        line.note(sum(project.measured().get(key) != found for key, found in before.items()))


@pytest.mark.parametrize("kind", ["prepare", "measure"])
def test_the_store_becomes_read_only(lay: Lay, tally: TallyOf, engine: str, tmp_path: Path, kind: str) -> None:
    with disk(tmp_path, "ext4", 700) as made:
        project, line = lay(work=made.mounted / "work"), tally(f"the store becomes read-only in a step: {kind}", engine)
        running = project.start()
        running.wait_for("step", kind=kind)
        made.become_read_only()
        before = project.measured()
        code, told = running.end()
        check_end(code, told, "read-only")
        assert before == project.measured()
        again = project.run()
        check_end(again.returncode, again.stderr, "ead-only")
        made.become_writable()
        line.note(project.finishes(before))


def check_read_only(command: str, done: subprocess.CompletedProcess[str]) -> None:
    """Planning writes nothing, so it works; a run tells the disk."""
    if command == "plan":
        assert done.returncode == 0, done.stderr
    else:
        check_end(done.returncode, done.stderr, "ead-only")


@pytest.mark.parametrize("command", ["plan", "run"])
def test_the_work_folder_is_read_only(lay: Lay, tally: TallyOf, engine: str, ext4: Disk, command: str) -> None:
    project, line = lay(work=ext4.mounted / "work"), tally(f"a read-only work folder: {command}", engine)
    ext4.become_read_only()
    done = project.run(command)
    check_read_only(command, done)
    line.note(0)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_finished_store_is_read_only(lay: Lay, tally: TallyOf, engine: str, tmp_path: Path, command: str) -> None:
    with disk(tmp_path, "ext4", 700) as made:
        project, line = lay(work=made.mounted / "work"), tally(f"a finished store is read-only: {command}", engine)
        assert project.run().returncode == 0
        before = project.measured()
        made.become_read_only()
        done = project.run(command)
        check_read_only(command, done)
        made.become_writable()
        line.note(project.finishes(before))


def test_the_device_of_the_store_fails(lay: Lay, tally: TallyOf, engine: str, tmp_path: Path) -> None:
    """Nothing can be promised of what was on it: the run ends in one line, and a run with another store finishes."""
    with disk(tmp_path, "ext4", 700) as made:
        project, line = lay(work=made.mounted / "work"), tally("the device of the store fails", engine)
        running = project.start()
        running.wait_for("step", kind="measure")
        made.break_writes()
        code, told = running.end()
        check_end(code, told, "the disk of ")
    project.work = None
    line.note(project.finishes({}))
