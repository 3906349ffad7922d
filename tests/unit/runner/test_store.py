"""The store shows whole steps only, trusts nothing that it finds, and has one writer."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.contracts import values
from harness.contracts.files import hash_of, hash_tree, write_json
from harness.contracts.step import StepStatus
from harness.errors import UsageError
from harness.runner.store import Store, size_of
from harness.runner.store.receipt import Receipt
from tests.in_process import measurement

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def publish(store: Store, key: str = KEY, content: str = "result") -> Path:
    step = store.begin(key, {"kind": "prepare"})
    (step / "out" / "file.txt").write_text(content)
    return store.publish(key, step, receipt(key)).path


def receipt(key: str = KEY, kind: str = "prepare") -> Receipt:
    return Receipt(key, kind, "a step", 1.0)


def test_a_step_is_not_visible_until_it_is_published(store: Store) -> None:
    step = store.begin(KEY, {"kind": "measure"})
    (step / "out" / "file.txt").write_text("half of it")
    assert store.find(KEY) is None
    assert store.output(KEY) is None


def test_a_published_step_is_there_with_its_output(store: Store) -> None:
    publish(store)
    output = store.output(KEY)
    assert output is not None
    assert (output / "file.txt").read_text() == "result"


def test_publishing_leaves_nothing_where_the_step_was_made(store: Store) -> None:
    publish(store)
    assert list((store.root / "tmp").iterdir()) == []


def test_a_folder_without_a_receipt_is_no_step(store: Store) -> None:
    (publish(store) / "receipt.json").unlink()
    assert Store(store.root).find(KEY) is None


def test_publishing_again_replaces_the_step(store: Store) -> None:
    publish(store, content="old")
    assert (publish(store, content="new") / "out" / "file.txt").read_text() == "new"


@pytest.mark.parametrize("damage", ["change", "remove", "add"])
def test_a_damaged_output_is_thrown_away(store: Store, damage: str) -> None:
    file = publish(store) / "out" / "file.txt"
    if damage == "change":
        file.write_text("resulT")
    elif damage == "remove":
        file.unlink()
    else:
        file.with_name("more.txt").write_text("")
    later = Store(store.root)
    assert later.output(KEY) is None
    assert later.find(KEY) is None


def test_a_step_whose_receipt_is_cut_short_has_to_be_made_again(store: Store) -> None:
    (publish(store) / "receipt.json").write_text('{"kind": "mea')
    assert Store(store.root).find(KEY) is None


def test_a_failure_is_kept_apart_with_its_reason_and_log(store: Store) -> None:
    step = store.begin(KEY, {"kind": "measure"})
    (step / "log.txt").write_text("one\ntwo\n")
    kept = store.reject(KEY, step, "crashed", "why", receipt())
    assert store.find(KEY) is None
    assert json.loads((kept / "status.json").read_text()) == {"status": "crashed", "reason": "why"}
    assert (kept / "log.txt").read_text() == "one\ntwo\n"


def test_the_output_of_a_failure_is_not_kept(store: Store) -> None:
    step = store.begin(KEY, {"kind": "measure"})
    (step / "out" / "huge.bin").write_bytes(b"x")
    assert not (store.reject(KEY, step, "crashed", "why", receipt()) / "out").exists()


def test_a_success_takes_the_place_of_an_earlier_failure(store: Store) -> None:
    failed = store.reject(KEY, store.begin(KEY, {}), "crashed", "why", receipt())
    publish(store)
    assert not failed.exists()


def test_outputs_can_be_read_by_every_user(store: Store) -> None:
    step = store.begin(KEY, {})
    (step / "out" / "private").write_text("x")
    (step / "out" / "private").chmod(0o600)
    entry = store.publish(KEY, step, receipt())
    assert (entry.out / "private").stat().st_mode & 0o777 == 0o644


def test_a_second_process_is_told_who_holds_the_store(store: Store) -> None:
    lock = store.lock()
    code = f"from pathlib import Path; from harness.runner.store import Store; Store(Path({str(store.root)!r})).lock()"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lock.release()
    assert second.returncode != 0
    assert f"is in use by process {os.getpid()} since" in second.stderr


def test_the_lock_of_a_process_that_was_killed_is_free(store: Store) -> None:
    code = (
        "import os, signal; from pathlib import Path; from harness.runner.store import Store;"
        f"held = Store(Path({str(store.root)!r})).lock(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    store.lock().release()


def test_locking_sweeps_what_a_dead_run_left_half_made(store: Store) -> None:
    step = store.begin(KEY, {})
    store.lock().release()
    assert not step.exists()


def test_a_refused_lock_leaves_the_steps_of_its_holder_alone(store: Store) -> None:
    lock = store.lock()
    step = store.begin(KEY, {})
    with pytest.raises(UsageError):
        Store(store.root).lock()
    lock.release()
    assert step.exists()


def test_old_entries_are_listed_with_their_size(store: Store) -> None:
    path = publish(store)
    os.utime(path, (0, 0))
    assert list(store.old_entries(3600)) == [(path, size_of(path.parent))]


def test_what_was_used_lately_is_not_old(store: Store) -> None:
    os.utime(publish(store), (0, 0))
    store.touch(KEY)
    assert list(store.old_entries(3600)) == []


def test_a_step_that_is_not_there_was_not_used(store: Store) -> None:
    store.touch(KEY)
    assert not list(store.old_entries(-3600))


def test_failures_grow_old_as_well(store: Store) -> None:
    failed = store.reject(KEY, store.begin(KEY, {}), "crashed", "why", receipt())
    os.utime(failed, (0, 0))
    assert [path for path, _ in store.old_entries(3600)] == [failed]


def test_the_size_is_what_du_tells(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep" / "empty").mkdir(parents=True)
    (folder / "deep" / "a").write_bytes(bytes(1000))
    (folder / "deep" / "again").hardlink_to(folder / "deep" / "a")
    (folder / "link").symlink_to(folder / "deep" / "a")
    with (folder / "sparse").open("wb") as file:
        file.truncate(10**9)
    told = subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, text=True, check=True).stdout
    assert size_of(folder) == int(told.split()[0])


def test_a_tree_with_a_renamed_file_hashes_differently(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = hash_of(hash_tree(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    assert hash_of(hash_tree(tmp_path)) != before


def test_json_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"good": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "file.json", {"bad": object()})
    assert (tmp_path / "file.json").read_text() == '{\n "good": 1\n}'


# --- damage --------------------------------------------------------------------------------------------------------------


def measured(store: Store, key: str = KEY) -> Path:
    """A finished measurement, as a step leaves it."""
    step = store.begin(key, {})
    write_json(step / "out" / "record.json", values.dump(measurement()))
    write_json(step / "status.json", values.dump(StepStatus("ok")))
    (step / "log.txt").write_text("it ran\n")
    return store.publish(key, step, receipt(key, "measure")).path


DAMAGES = {
    "record": ("out/record.json", "{"),
    "another record": ("out/record.json", '{"unsupported": "no", "version": 1}'),
    "empty status": ("status.json", ""),
    "status of nonsense": ("status.json", '{"status": "nonsense"}'),
    "receipt that is a number": ("receipt.json", "7"),
    "empty receipt": ("receipt.json", ""),
    "receipt of another version": ("receipt.json", '{"receipt": {"version": 1}, "sha256": ""}'),
}


@pytest.mark.parametrize("damage", [*DAMAGES, "a file in its place", "a pipe as record", "a link as record"])
def test_a_damaged_entry_is_set_aside_told_in_a_line_and_made_again(store: Store, damage: str) -> None:
    path, said = measured(store), list[str]()
    if damage in DAMAGES:
        name, content = DAMAGES[damage]
        (path / name).write_text(content)
    elif damage == "a file in its place":
        shutil.rmtree(path)
        path.write_text("x")
    else:
        (path / "out" / "record.json").unlink()
        if damage == "a pipe as record":
            os.mkfifo(path / "out" / "record.json")
        else:
            (path / "out" / "record.json").symlink_to("/etc/hostname")
    reader = Store(store.root, said.append)
    assert reader.find(KEY) is None  # a process that may not write leaves it where it is
    assert path.exists()
    lock = reader.lock()
    assert reader.find(KEY) is None
    assert reader.output(KEY) is None
    assert not path.exists()
    (aside,) = (store.root / "damaged").iterdir()
    assert len(said) == 1
    assert str(aside) in said[0]
    assert (aside / "reason.txt").read_text().strip()
    measured(reader)
    assert Store(store.root).find(KEY) is not None
    lock.release()


@pytest.mark.parametrize("kind", ["measure", "evaluate", "compress"])
def test_a_step_that_left_nothing_of_its_kind_is_not_published(store: Store, kind: str) -> None:
    step = store.begin(KEY, {})
    (step / "out" / "other.txt").write_text("x")
    with pytest.raises(values.Damaged):
        store.publish(KEY, step, receipt(kind=kind))
    assert store.find(KEY) is None


def test_the_whole_of_a_step_is_on_the_disk_before_its_receipt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut leaves: everything that was synced, and of the rest names without contents."""
    synced, order = set[str](), list[str]()
    sync, rename = os.fsync, Path.rename

    def watch(descriptor: int) -> None:
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        synced.add(name)
        order.append(name)
        sync(descriptor)

    def moved(path: Path, target: Path) -> Path:
        order.append(f"rename {path}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watch)
    monkeypatch.setattr(Path, "rename", moved)
    path = measured(store)
    monkeypatch.undo()
    step = next(name for name in order if name.startswith("rename ")).removeprefix("rename ")
    for name in ("out/record.json", "status.json", "log.txt", "step.json", "out"):
        assert f"{step}/{name}" in synced
    receipts = [at for at, name in enumerate(order) if "receipt" in name]
    assert max(order.index(f"{step}/{name}") for name in ("out/record.json", "status.json")) < min(receipts)
    assert max(receipts) < order.index(f"rename {step}")
    assert str(path.parent) in order[order.index(f"rename {step}") :]
