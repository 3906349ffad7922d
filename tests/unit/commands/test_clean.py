"""Cleaning frees what it says, keeps what is newer than asked, and a dry run frees nothing."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from harness.commands.clean import clean, parse_age, text
from harness.errors import UsageError
from harness.runner.store import Store

DAY = 86400
DOWNLOADS = ("wheels", "contexts", "logs")
ENVIRONMENTS = ("envs", "code", "uv-cache")


def fill(folder: Path, size: int, age_s: float = 0) -> Path:
    """A folder with one file of that size, last used so long ago."""
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(bytes(size))
    used = time.time() - age_s
    os.utime(folder, (used, used))
    return folder


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder where no Docker Engine answers: with steps a month, a day and no time old, and downloads."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    fill(tmp_path / "steps" / "aa" / "aa1", 1000, 30 * DAY)
    fill(tmp_path / "steps" / "bb" / "bb1", 200, DAY)
    fill(tmp_path / "failed" / "cc" / "cc1", 30, 30 * DAY)
    fill(tmp_path / "damaged" / "dd1-1", 5, 30 * DAY)
    for name in (*DOWNLOADS, *ENVIRONMENTS):
        fill(tmp_path / name, 4)
    return tmp_path


def files(work: Path) -> set[str]:
    return {path.relative_to(work).parts[0] for path in work.rglob("file")}


def test_a_dry_run_frees_nothing_and_says_how_much(work: Path) -> None:
    before = sorted(work.rglob("file"))
    told = clean(work, 0, with_images=True, dry_run=True)
    assert sorted(work.rglob("file")) == before
    assert told == clean(work, 0, with_images=True, dry_run=False)
    assert told["steps"]["count"] == 4


@pytest.mark.parametrize("with_images", [False, True])
def test_it_frees_what_du_tells(work: Path, with_images: bool) -> None:
    (work / "envs" / "linked").hardlink_to(work / "uv-cache" / "file")
    Store(work).lock().release()  # it leaves files of its own
    before = disk_usage(work)
    freed = clean(work, 0, with_images=with_images, dry_run=False)
    assert before - disk_usage(work) == sum(found["bytes"] for found in freed.values())


def disk_usage(folder: Path) -> int:
    told = subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, text=True, check=True).stdout
    return int(told.split()[0])


def test_what_a_link_leads_to_stays(work: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = fill(tmp_path_factory.mktemp("elsewhere") / "mine", 10, 30 * DAY)
    (work / "steps" / "ee").symlink_to(elsewhere.parent)
    (work / "steps" / "aa" / "ff1").symlink_to(elsewhere)
    clean(work, 0, with_images=True, dry_run=False)
    assert (elsewhere / "file").exists()


def test_downloads_go_and_environments_stay(work: Path) -> None:
    clean(work, 0, with_images=False, dry_run=False)
    assert files(work) == set(ENVIRONMENTS)


def test_environments_go_with_the_images(work: Path) -> None:
    freed = clean(work, 0, with_images=True, dry_run=False)
    assert files(work) == set()
    assert freed["images"] == {"count": 0, "bytes": 0}  # no engine answers


def test_what_is_newer_than_asked_stays(work: Path) -> None:
    freed = clean(work, 14 * DAY, with_images=False, dry_run=False)
    assert freed["steps"]["count"] == 3
    assert list(freed) == ["steps"]
    assert (work / "steps" / "bb" / "bb1" / "file").exists()
    assert files(work) == {"steps", *DOWNLOADS, *ENVIRONMENTS}


def test_a_step_that_was_used_lately_stays(work: Path) -> None:
    Store(work).touch("aa1")
    clean(work, 14 * DAY, with_images=False, dry_run=False)
    assert (work / "steps" / "aa" / "aa1").exists()


def test_nothing_is_freed_under_a_run(work: Path) -> None:
    with Store(work).lock(), pytest.raises(UsageError, match="is in use by process"):
        clean(work, 0, with_images=False, dry_run=False)
    assert (work / "steps" / "aa" / "aa1").exists()


@pytest.mark.parametrize(
    ("age", "seconds"), [("0s", 0), ("90s", 90), ("6h", 21600), ("14d", 14 * DAY), ("1.5w", 907200)]
)
def test_ages_have_units(age: str, seconds: float) -> None:
    assert parse_age(age) == seconds


@pytest.mark.parametrize("age", ["", "14", "d", "-1d", "14 days", "1y"])
def test_a_wrong_age_is_one_clear_error(age: str) -> None:
    with pytest.raises(UsageError, match="is not a duration") as caught:
        parse_age(age)
    assert "such as 6h, 14d or 2w" in str(caught.value)


def test_the_outcome_says_whether_it_is_done() -> None:
    freed = {"steps": {"count": 2, "bytes": 3_000_000}, "wheels": {"count": 0, "bytes": 0}}
    assert text(freed, dry_run=True) == "would free 3 MB: 2 steps"
    assert text(freed, dry_run=False) == "freed 3 MB: 2 steps"
    assert text({}, dry_run=False) == "nothing to free"
