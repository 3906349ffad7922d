"""Whatever became of a work folder between two runs: nothing hangs, nothing ends in a traceback, and all is whole again.

Links lead to a folder of the test alone. Nothing may be written or removed through them.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.commands.clean import clean
from harness.commands.doctor import examine_store
from harness.runner.interrupt import Interrupts
from harness.runner.store import Store
from tests.in_process import InProcess, execute, pass_over

NOBODY = 65534


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a whole run."""
    work = tmp_path_factory.mktemp("finished") / "work"
    execute(work, InProcess())
    return work


# --- one damage ----------------------------------------------------------------------------------------------------------

#: Damages what has a path; the second path is of a folder outside, with one file in it.
Damage = Callable[[Path, Path], None]


def gone(path: Path, outside: Path) -> None:
    assert path.parent.resolve().is_relative_to(outside.parent), "a test damages its own folder only"
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def holding(content: bytes) -> Damage:
    def damage(path: Path, outside: Path) -> None:
        gone(path, outside)
        path.write_bytes(content)

    return damage


def huge(path: Path, outside: Path) -> None:
    gone(path, outside)
    with path.open("wb") as file:
        file.truncate(2**42)


def cut_short(path: Path, outside: Path) -> None:
    if path.is_file():
        os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path, outside: Path) -> None:
    """One bit is another, in the middle of the file."""
    if path.is_file() and (content := bytearray(path.read_bytes())):
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def folder(path: Path, outside: Path) -> None:
    gone(path, outside)
    path.mkdir()
    (path / "something").write_text("x")


def fifo(path: Path, outside: Path) -> None:
    gone(path, outside)
    os.mkfifo(path)


def a_socket(path: Path, outside: Path) -> None:
    gone(path, outside)
    os.mknod(path, stat.S_IFSOCK | 0o600)


def link_to_file(path: Path, outside: Path) -> None:
    gone(path, outside)
    path.symlink_to(outside / "precious")


def link_to_folder(path: Path, outside: Path) -> None:
    gone(path, outside)
    path.symlink_to(outside)


def dangling(path: Path, outside: Path) -> None:
    gone(path, outside)
    path.symlink_to(outside / "nowhere")


def looped(path: Path, outside: Path) -> None:
    gone(path, outside)
    path.symlink_to(path.name)


def more(path: Path, outside: Path) -> None:
    """A file that nobody of us wrote."""
    (path if path.is_dir() else path.parent).joinpath("more.txt").write_text("x")


def closed(path: Path, outside: Path) -> None:
    if path.exists():
        path.chmod(0)


DAMAGES: dict[str, Damage] = {
    "emptied": holding(b""),
    "a brace": holding(b"{"),
    "a number": holding(b"7"),
    "a list": holding(b"[[1]]"),
    "not a number": holding(b"NaN"),
    "deep": holding(b"[" * 100_000),
    "null": holding(b"null"),
    "not text": holding(b"\xff\xfe"),
    "zeros": holding(bytes(4096)),
    "huge": huge,
    "cut short": cut_short,
    "flipped": flipped,
    "gone": gone,
    "a folder": folder,
    "a FIFO": fifo,
    "a socket": a_socket,
    "a link to a file": link_to_file,
    "a link to a folder": link_to_folder,
    "a dangling link": dangling,
    "a loop": looped,
    "more": more,
    "closed": closed,
}
#: Places in a work folder, each with what becomes of no other.
PLACES = {
    "in steps": (
        "steps/me/measure-a-0",
        "steps/me/measure-b-0/receipt.json",
        "steps/me/measure-c-0/status.json",
        "steps/me/measure-d-0/step.json",
        "steps/me/measure-e-0/out",
        "steps/me/measure-f-0/out/record.json",
        "steps/ev/evaluate-g/out/made.txt",
        "steps/ev/evaluate-h/out/record.json",
    ),
    "steps of one shard": ("steps/me",),
    "all steps": ("steps",),
    "beside": ("failed", "tmp", "scratch", "damaged", "lock", "lock.holder", "running", "steps/README"),
}


def keys(work: Path) -> list[str]:
    """Of all finished steps."""
    return sorted(path.parent.name for path in work.glob("steps/??/*/receipt.json"))


def problems(work: Path) -> list[str]:
    return [finding.subject for finding in examine_store(work) if finding.state == "problem"]


def locked_run(work: Path) -> InProcess:
    engine = InProcess()
    run = pass_over(work, engine, Interrupts(print, engine.kill))
    lock = run.store.lock()
    try:
        run.execute()
    finally:
        lock.release()
    assert run.failures == {}
    assert len(engine.ran) == len(set(engine.ran))
    return engine


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is not ours, with sub-folders whose names are those of steps."""
    folder = tmp_path / "outside"
    for name in ("me/measure-a-0", "measure-a-0", "ab"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("precious")
    (folder / "precious").write_text("precious")
    (folder / "precious").chmod(0o600)
    return folder


def seen(outside: Path) -> dict[str, tuple[int, bytes]]:
    """All that lies in a folder: modes, and contents of files."""
    return {
        path.relative_to(outside).as_posix(): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in outside.rglob("*")
    }


def is_whole_again(work: Path, wanted: list[str]) -> None:
    """A reader sees no error, a run makes what is missing, and the next one has nothing to do."""
    reader = Store(work)
    for key in wanted:
        reader.output(key)
    problems(work)
    locked_run(work)
    assert problems(work) == []
    assert keys(work) == wanted
    assert locked_run(work).ran == []
    clean(work, 0, with_images=False, dry_run=False)
    assert keys(work) == []


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("places", PLACES)
def test_a_damaged_work_folder_heals(places: str, damage: str, finished: Path, tmp_path: Path, outside: Path) -> None:
    work, before = tmp_path / "work", seen(outside)
    shutil.copytree(finished, work)
    for place in PLACES[places]:
        DAMAGES[damage](work / place, outside)
    is_whole_again(work, keys(finished))
    assert seen(outside) == before


@pytest.mark.parametrize("name", ["steps", "failed", "damaged", "tmp", "scratch", "steps/me", "failed/me"])
def test_nothing_is_removed_through_a_link(name: str, finished: Path, tmp_path: Path, outside: Path) -> None:
    work, before = tmp_path / "work", seen(outside)
    shutil.copytree(finished, work)
    (work / name).parent.mkdir(exist_ok=True)
    link_to_folder(work / name, outside)
    clean(work, 0, with_images=False, dry_run=False)
    assert seen(outside) == before
