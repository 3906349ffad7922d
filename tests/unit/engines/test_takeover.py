"""What a step wrote is taken over without following anything in it: no file of this machine is read, changed or opened up."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.engines.bounds import Bounds
from harness.engines.takeover import Refused, remove, take_file, take_tree
from harness.errors import UsageError
from tests.in_process import Behaviour, InProcess, end, execute, succeed

BOUNDS = Bounds(bytes=10_000, entries=100, depth=8, status_bytes=1000)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What a step could write to."""
    (tmp_path / "left" / "out").mkdir(parents=True)
    return tmp_path / "left"


@pytest.fixture
def step(tmp_path: Path) -> Path:
    """A folder of ours."""
    (tmp_path / "step").mkdir()
    return tmp_path / "step"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside, in a folder outside, which nobody else may read."""
    folder = tmp_path / "outside"
    folder.mkdir(mode=0o700)
    (folder / "key").write_text("s3cret")
    (folder / "key").chmod(0o600)
    return folder / "key"


def is_untouched(secret: Path) -> bool:
    modes = stat.S_IMODE(secret.stat().st_mode), stat.S_IMODE(secret.parent.stat().st_mode)
    return secret.read_text() == "s3cret" and modes == (0o600, 0o700) and list(secret.parent.iterdir()) == [secret]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- what is taken -------------------------------------------------------------------------------------------------------


def test_plain_files_and_folders_come_over_readable_and_ours(left: Path, step: Path) -> None:
    deep = left / "out" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "weights.bin").write_bytes(b"12")
    (deep / "weights.bin").chmod(0o4000)
    deep.chmod(0)
    (left / "out" / "имя.txt").write_text("x")
    if os.getuid() == 0:
        os.chown(deep / "weights.bin", 10001, 10001)
    take_tree(left, "out", step / "out", BOUNDS)
    assert contents(step / "out") == {"a/b/weights.bin": b"12", "имя.txt": b"x"}
    taken = (step / "out" / "a" / "b" / "weights.bin").stat()
    assert (stat.S_IMODE(taken.st_mode), taken.st_uid) == (0o644, os.getuid())
    assert {stat.S_IMODE(path.stat().st_mode) for path in (step / "out").rglob("*") if path.is_dir()} == {0o755}


def test_what_is_not_there_is_not_missed(left: Path, step: Path) -> None:
    (left / "out").rmdir()
    take_tree(left, "out", step / "out", BOUNDS)
    assert not take_file(left, "status.json", step / "status.json", 10)
    assert contents(step) == {}


def test_the_status_comes_over_and_nothing_else_does(left: Path, step: Path) -> None:
    for name in ("status.json", "status.json.tmp", "receipt.json", "receipt.json.tmp", "log.txt"):
        (left / name).write_text(name)
    assert take_file(left, "status.json", step / "status.json", 100)
    take_tree(left, "out", step / "out", BOUNDS)
    assert contents(step) == {"status.json": b"status.json"}


# --- what is refused ------------------------------------------------------------------------------------------------------


def link_to_file(left: Path, secret: Path) -> None:
    (left / "out" / "x").symlink_to(secret)


def out_is_a_link(left: Path, secret: Path) -> None:
    (left / "out").rmdir()
    (left / "out").symlink_to(secret.parent)


def linked_folder(left: Path, secret: Path) -> None:
    (left / "out" / "sub").symlink_to(secret.parent)


def linked_record(left: Path, secret: Path) -> None:
    (left / "out" / "record.json").symlink_to(secret)


def dangling_link(left: Path, secret: Path) -> None:
    (left / "out" / "x").symlink_to("/nowhere/at/all")


def hard_link(left: Path, secret: Path) -> None:
    (left / "out" / "x").hardlink_to(secret)


def fifo(left: Path, secret: Path) -> None:
    os.mkfifo(left / "out" / "record.json")


def unix_socket(left: Path, secret: Path) -> None:
    here = Path.cwd()
    os.chdir(left / "out")  # its path would be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("x")
    finally:
        os.chdir(here)


def device(left: Path, secret: Path) -> None:
    if os.getuid():
        pytest.skip("only root can make a device")
    os.mknod(left / "out" / "x", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero, which never ends


def sparse_file(left: Path, secret: Path) -> None:
    with (left / "out" / "weights.bin").open("wb") as file:
        file.truncate(3 * 2**40)


def many_files(left: Path, secret: Path) -> None:
    for number in range(BOUNDS.entries + 1):
        (left / "out" / str(number)).touch()


def many_folders(left: Path, secret: Path) -> None:
    for number in range(20):
        for deeper in range(20):
            (left / "out" / str(number) / str(deeper)).mkdir(parents=True)


def deep_folders(left: Path, secret: Path) -> None:
    (left / "out" / "/".join("d" * 20)).mkdir(parents=True)


def strange_name(left: Path, secret: Path) -> None:
    (left / "out" / os.fsdecode(b"\xff\xfe")).touch()


def out_is_a_file(left: Path, secret: Path) -> None:
    (left / "out").rmdir()
    (left / "out").write_text("x")


HOSTILE: dict[Callable[[Path, Path], None], str] = {
    link_to_file: "a link: out/x",
    out_is_a_link: "a link: out",
    linked_folder: "a link: out/sub",
    linked_record: "a link: out/record.json",
    dangling_link: "a link: out/x",
    hard_link: "a hard link",
    fifo: "a FIFO: out/record.json",
    unix_socket: "a socket: out/x",
    device: "a device: out/x",
    sparse_file: "MATRIX_OUTPUT_BYTES is the bound",
    many_files: "more than 100 files and folders (MATRIX_OUTPUT_FILES is the bound)",
    many_folders: "more than 100 files and folders",
    deep_folders: "more than 8 deep",
    strange_name: r"not UTF-8: out/\udcff\udcfe",
    out_is_a_file: "a file where the folder out/ belongs",
}


@pytest.mark.parametrize("attack", HOSTILE, ids=lambda attack: attack.__name__)
def test_a_hostile_output_is_refused_in_one_line_and_nothing_is_touched(
    attack: Callable[[Path, Path], None], left: Path, step: Path, secret: Path
) -> None:
    (left / "out" / "harmless").write_text("x")
    (left / "out" / "harmless").unlink() if attack in (out_is_a_link, out_is_a_file) else None
    attack(left, secret)
    with pytest.raises(Refused) as caught:
        take_tree(left, "out", step / "out", BOUNDS)
    assert HOSTILE[attack] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(step) == {}
    remove(left)
    assert not left.exists()
    assert secret.read_text() == "s3cret"
    assert is_untouched(secret)


@pytest.mark.parametrize("name", ["status.json", "status.json.tmp", "receipt.json.tmp", "log.txt", "step.json"])
def test_a_link_in_the_place_of_a_file_of_ours_is_never_followed(
    name: str, left: Path, step: Path, secret: Path
) -> None:
    (left / name).symlink_to(secret)
    if name == "status.json":
        with pytest.raises(Refused, match=r"a link: status\.json"):
            take_file(left, "status.json", step / "status.json", 100)
    else:
        take_file(left, "status.json", step / "status.json", 100)
        take_tree(left, "out", step / "out", BOUNDS)
    remove(left)
    assert is_untouched(secret)
    assert contents(step) == {}


def test_a_status_that_is_too_large_or_a_folder_is_refused(left: Path, step: Path) -> None:
    (left / "status.json").write_bytes(b" " * 101)
    with pytest.raises(Refused, match="101 bytes, more than the 100"):
        take_file(left, "status.json", step / "status.json", 100)
    (left / "status.json").unlink()
    (left / "status.json").mkdir()
    with pytest.raises(Refused, match=r"a folder where status\.json belongs"):
        take_file(left, "status.json", step / "status.json", 100)


def test_the_bounds_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATRIX_OUTPUT_BYTES", "12345")
    assert Bounds.from_environment() == replace(Bounds(), bytes=12345)


@pytest.mark.parametrize("value", ["10GB", "-1", "0", "1e9", "٣", "9" * 5000])
def test_a_setting_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MATRIX_OUTPUT_FILES", value)
    with pytest.raises(UsageError, match=r"MATRIX_OUTPUT_FILES is '.{1,50}'") as caught:
        Bounds.from_environment()
    assert "such as 100000" in str(caught.value.cure)


def test_a_tree_too_deep_for_any_path_is_removed(tmp_path: Path, secret: Path) -> None:
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.symlink(secret, "link", dir_fd=below)
        os.close(here)
        here = below
    os.close(here)
    remove(top)
    assert not top.exists()
    assert is_untouched(secret)


def test_what_a_removal_that_was_killed_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the next process has the same id, as in a container."""
    folder = tmp_path / "scratch"
    for name in ("a", "b", "c"):
        (folder / name / "left" / "out").mkdir(parents=True)
    kill = os.rmdir

    def killed(name: str, **where: int) -> None:
        monkeypatch.setattr(os, "rmdir", kill)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rmdir", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(folder)
    assert list(folder.iterdir())
    remove(folder)
    assert not folder.exists()


# --- a random hostile tree ------------------------------------------------------------------------------------------------

THINGS = st.sampled_from(["file", "folder", "link", "link up", "hard link", "fifo", "socket", "sparse", "loop"])
NAMES = st.sampled_from([b"a", b"b", b"out", b"status.json", b"record.json", b"\xff", b"-rf", b"\x1b[31m", b"x" * 255])
TREES = st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=4), THINGS, st.integers(0, 0o7777)), max_size=12)


def grow(left: Path, path: list[bytes], thing: str, mode: int, secret: Path) -> None:
    """Add a thing to a tree, as far as there is a place for it."""
    target = left.joinpath(*map(os.fsdecode, path))
    links = {"link": secret, "link up": Path("../../.."), "loop": target}
    with contextlib.suppress(OSError, RuntimeError):  # links that lead in a circle
        if not target.parent.resolve().is_relative_to(left.resolve()):  # through a link that was made before
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        match thing:
            case "file" | "sparse":
                with target.open("xb") as file:  # never into what is there already
                    file.truncate(1 if thing == "file" else 2**41)
            case "folder":
                target.mkdir()
            case "link" | "link up" | "loop":
                target.symlink_to(links[thing])
            case "hard link":
                target.hardlink_to(secret)
            case "fifo":
                os.mkfifo(target)
            case "socket":
                os.mknod(target, stat.S_IFSOCK | 0o600)
        if not target.is_symlink() and target.stat().st_ino != secret.stat().st_ino:
            target.chmod(mode)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_no_random_tree_changes_or_opens_a_file_outside(tmp_path: Path, secret: Path, tree: list) -> None:
    left, step = tmp_path / "left", tmp_path / "step"
    for folder in (left, step):
        folder.mkdir()
    for path, thing, mode in tree:
        grow(left, path, thing, mode, secret)
    with contextlib.suppress(Refused):
        take_file(left, "status.json", step / "status.json", 100)
        take_tree(left, "out", step / "out", BOUNDS)
    for taken in step.rglob("*"):
        seen = taken.lstat()
        assert stat.S_ISDIR(seen.st_mode) or (stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1)
        assert seen.st_size <= BOUNDS.bytes or taken.is_dir()
    remove(left)
    remove(step)
    assert not left.exists()
    assert is_untouched(secret)


# --- a row whose step left something hostile ----------------------------------------------------------------------------


def hostile(attack: Callable[[Path, Path], None], secret: Path) -> Behaviour:
    def behave(job):  # type: ignore[no-untyped-def]
        outcome = succeed(job)
        for file in (job.left / "out").iterdir():
            file.unlink()
        attack(job.left, secret)
        return outcome

    return behave


@pytest.mark.parametrize("attack", [out_is_a_link, linked_record, fifo, hard_link], ids=lambda attack: attack.__name__)
def test_the_row_is_crashed_with_what_was_found_and_the_others_go_on(
    attack: Callable[[Path, Path], None], tmp_path: Path, secret: Path
) -> None:
    run = execute(tmp_path / "work", InProcess({"measure-b-1": hostile(attack, secret)}))
    assert run.failures.keys() == {"measure-b-1"}
    failure = run.failures["measure-b-1"]
    assert failure.status == "crashed"
    assert HOSTILE[attack] in failure.reason
    assert is_untouched(secret)
    assert not list((tmp_path / "work" / "scratch").iterdir())


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ('{"status": "nonsense", "reason": "x"}', "expected one of ok"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"status": ["ok"]}', "expected str"),
    ],
)
def test_a_status_that_is_none_crashes_its_row_only(tmp_path: Path, status: str, reason: str) -> None:
    def behave(job):  # type: ignore[no-untyped-def]
        (job.left / "status.json").write_text(status)
        return end(exit_code=0)(job)

    run = execute(tmp_path, InProcess({"measure-b-1": behave}))
    assert run.failures.keys() == {"measure-b-1"}
    assert reason in run.failures["measure-b-1"].reason


def test_a_step_that_says_ok_and_leaves_no_record_crashes_its_row_only(tmp_path: Path) -> None:
    def behave(job):  # type: ignore[no-untyped-def]
        outcome = succeed(job)
        (job.left / "out" / "record.json").unlink()
        return outcome

    run = execute(tmp_path, InProcess({"measure-b-1": behave}))
    assert run.failures.keys() == {"measure-b-1"}
    assert "record.json" in run.failures["measure-b-1"].reason
