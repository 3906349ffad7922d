"""What a disk refuses is told in one line, and no file that was there is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import report
from harness.cli import main
from harness.contracts.files import write_atomically
from harness.errors import EnvironmentProblem
from harness.report.site import publish
from tests.results_factory import results

OLD = {"index.html": "old page", "README.md": "old text"}


def on_small_disk(folder: Path, script: str, options: str = "size=200k") -> subprocess.CompletedProcess[str]:
    """Run a shell script with a file system of its own at ``folder``, in a user namespace: no root is needed."""
    mount = f"mount -t tmpfs -o {options} small {folder}"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", f"{mount}\n{script}"]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=Path.cwd(), env={**os.environ, "PYTHONPATH": "."}
    )


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder on which a file system can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if on_small_disk(folder, "true").returncode:
        pytest.skip("this machine lets no user mount a file system (user namespaces)")
    return folder


def harness(*words: str) -> str:
    return f"{sys.executable} -m harness {' '.join(words)}"


def test_a_report_that_does_not_fit_leaves_the_old_one(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(results().model_dump_json(), "utf-8")
    prepare = f"cp {tmp_path}/results.json {disk}/\necho 'old page' > {disk}/index.html\n"
    done = on_small_disk(
        disk, f"{prepare}{harness('report', '--out', str(disk))} || (ls -A {disk}; cat {disk}/index.html)"
    )
    assert done.stdout.split("\n")[:2] == ["index.html", "results.json"]
    assert "old page" in done.stdout
    assert done.stderr.count("\n") == 2, done.stderr
    assert done.stderr.startswith("error: the disk of ")
    assert "no space left" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["export", "RESULTS", "--format", "csv", "--out", "DISK/new/table.csv"],
        ["publish", "--out", "REPORTS", "--to", "DISK/site"],
        ["init", "--out", "DISK/matrix.yaml"],
        ["report", "--out", "DISK"],
        ["clean", "--work", "DISK/work"],
    ],
    ids=lambda words: words[0],
)
def test_a_disk_that_is_mounted_read_only_is_told(words: list[str], disk: Path, tmp_path: Path) -> None:
    report.render(results(), tmp_path / "reports")
    places = {"RESULTS": f"{tmp_path}/reports/results.json", "REPORTS": f"{tmp_path}/reports", "DISK": str(disk)}
    for mark, place in places.items():
        words = [word.replace(mark, place) for word in words]
    script = f"cp {tmp_path}/reports/results.json {disk}/\nmount -o remount,ro {disk}\n{harness(*words)}"
    done = on_small_disk(disk, script, "size=20m")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "read-only" in done.stderr.lower()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_each_trouble_of_a_disk_is_told_and_nothing_is_replaced(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quotas and broken disks cannot be made here: the last file's bytes are refused by the system."""
    for name, text in OLD.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "results.json").write_text(results().model_dump_json(), "utf-8")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    synced: list[int] = []

    def refuse(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 5:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    done = CliRunner().invoke(main, ["report", "--out", str(tmp_path)])
    assert done.exit_code == 3
    assert done.output.startswith(f"error: the disk of {tmp_path}")
    assert done.output.count("\n") == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_api_tells_it_too(tmp_path: Path) -> None:
    report.render(results(), tmp_path / "reports")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentProblem, match="file"):
        report.render(results(), tmp_path / "file")
    with pytest.raises(EnvironmentProblem, match="file"):
        publish(tmp_path / "reports", tmp_path / "file" / "site", {})


def test_output_that_nobody_can_take_is_told(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(results().model_dump_json(), "utf-8")
    done = subprocess.run(
        ["sh", "-c", f"{harness('export', str(tmp_path / 'results.json'))} > /dev/full"], capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_half_a_file_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "file", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
