"""Sources: what may come in from a folder, fingerprints, and the manifest of what was fetched."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from harness import tasks
from harness.errors import SourceError
from harness.matrix.source import PathSource, parse
from harness.sources import fetch, file_safety, fingerprint, write_manifest
from tests.checkpoints import write_model


def test_a_fingerprint_follows_the_contents_of_a_path_and_not_its_times(tmp_path: Path) -> None:
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"first")
    source = parse("path:model")
    first = fingerprint(source, tmp_path)

    weights.touch()
    assert fingerprint(source, tmp_path) == first
    times = weights.stat()
    weights.write_bytes(b"other")  # the same size
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(source, tmp_path) != first


def test_a_pinned_source_is_its_own_fingerprint(tmp_path: Path) -> None:
    assert fingerprint(parse("pypi:a==1.0/a/model"), tmp_path) == "pypi:a==1.0/a/model"


def test_a_path_is_copied_so_that_later_changes_stay_outside(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model" / ".git").mkdir()
    (tmp_path / "model" / ".git" / "HEAD").write_text("x")
    facts = fetch(parse("path:./model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)

    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    assert facts["files"] == 2
    assert facts["source"] == "path:./model"
    (tmp_path / "model" / "config.json").write_text("changed")
    assert (tmp_path / "out" / "config.json").read_text() == "{}"


def test_a_path_can_be_pinned(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    digest = file_safety.file_hash(tmp_path / "m.gguf")
    fetch(parse("path:m.gguf"), tmp_path / "a", sha256=digest, base=tmp_path, cache=tmp_path, say=print)
    with pytest.raises(SourceError, match="wrong hash") as caught:
        fetch(parse("path:m.gguf"), tmp_path / "b", sha256="0" * 64, base=tmp_path, cache=tmp_path, say=print)
    assert digest in str(caught.value)
    assert "0" * 64 in str(caught.value)


def test_a_missing_path_suggests_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(SourceError, match=r"does not exist") as caught:
        fetch(parse("path:./modles"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert "'models'" in str(caught.value.cure)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("pytorch_model-00001-of-00002.bin", "model-00001-of-00003.safetensors"),
        ("adapter_model.bin", "adapter_model.safetensors"),
    ],
)
def test_pickled_weights_are_taken_where_the_same_are_not_in_safetensors(name: str, twin: str) -> None:
    kept, left_out = file_safety.sift(["config.json", name, "training_args.bin"], "path:model", trust=False)
    assert (kept, left_out) == (sorted(["config.json", name]), ["training_args.bin"])
    kept, left_out = file_safety.sift(["config.json", name, twin], "path:model", trust=False)
    assert (kept, left_out) == (sorted(["config.json", twin]), [name])
    kept, left_out = file_safety.sift(["config.json", name, "model.onnx"], "path:model", trust=False)
    assert left_out == []


def test_an_adapter_in_a_pickle_is_taken_beside_a_base_in_safetensors() -> None:
    names = ["adapter_config.json", "adapter_model.bin", "config.json", "model.safetensors"]
    assert file_safety.sift(names, "path:model", trust=False) == (names, [])


def test_a_model_of_other_pickles_is_refused_and_taken_on_trust(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "weights.pt").write_bytes(b"pickle")
    with pytest.raises(SourceError, match=r"weights\.pt can run code") as caught:
        fetch(parse("path:model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert "trust: true" in str(caught.value.cure)

    fetch(parse("path:model"), tmp_path / "trusted", trust=True, base=tmp_path, cache=tmp_path, say=print)
    assert (tmp_path / "trusted" / "weights.pt").exists()


def test_many_names_are_sifted_at_once() -> None:
    names = [f"{number}.{suffix}" for number in range(10_000) for suffix in ("safetensors", "py")]
    kept, left_out = file_safety.sift(names, "hf:org/name", trust=False)
    assert len(kept) == len(left_out) == 10_000
    assert file_safety.sift(names, "hf:org/name", trust=True) == (sorted(names), [])


def test_what_can_run_code_is_left_out_beside_safetensors_and_said(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model" / "modeling.py").write_text("boom")
    said: list[str] = []
    facts = fetch(parse("path:model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=said.append)
    assert not (tmp_path / "out" / "modeling.py").exists()
    assert "modeling.py" in facts["notes"][0]
    assert said == ["path:model: 3 files, 0.1 kB", *facts["notes"]]  # its size before anything else


def test_a_fetched_folder_becomes_an_artifact_that_names_its_origin(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    facts = fetch(parse("path:model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    write_manifest(tmp_path / "out", facts, tasks.card("token-classification"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["format"] == "hf"
    assert manifest["weights"] == ["model.safetensors"]
    assert manifest["passes"] == []
    assert manifest["provenance"] == [f"weights from path:model with sha256 {facts['sha256']}"]


def test_too_little_disk_space_is_told_before_copying(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no disk space") as caught:
        file_safety.require_space(tmp_path, 1 << 60)
    assert "harness clean" in str(caught.value.cure)


def test_a_disk_that_fills_up_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="filled up"), file_safety.os_errors_told(tmp_path):
        raise OSError(28, "No space left on device")


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "model" / "inside.json").symlink_to("config.json")
    fetch(parse("path:model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert (tmp_path / "out" / "inside.json").read_text() == "{}"

    (tmp_path / "model" / "vocab.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError, match=r"vocab\.txt is a link out of the folder"):
        fetch(parse("path:model"), tmp_path / "again", base=tmp_path, cache=tmp_path, say=print)
    assert "secret" not in [file.read_text() for file in tmp_path.rglob("again/*")]


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot in a hub's cache: links to blobs that are called by their hashes, one of them in a folder."""
    repository = tmp_path / "models--a--b"
    repository.mkdir()
    write_model(repository / "blobs")
    snapshot = repository / "snapshots" / "0123"
    (snapshot / "onnx").mkdir(parents=True)
    for number, name in enumerate(("config.json", "model.safetensors")):
        (repository / "blobs" / name).rename(repository / "blobs" / f"{number:064x}")
        (snapshot / name).symlink_to(f"../../blobs/{number:064x}")
    (snapshot / "onnx" / "config.json").symlink_to(f"../../../blobs/{0:064x}")
    return snapshot


@pytest.mark.parametrize(
    ("below", "names"),
    [
        ("", ["config.json", "model.safetensors", "onnx/config.json"]),
        ("onnx", ["config.json"]),
        ("model.safetensors", ["model.safetensors"]),
    ],
)
def test_a_snapshot_of_a_hubs_cache_keeps_its_links(
    snapshot: Path, tmp_path: Path, below: str, names: list[str]
) -> None:
    fetch(parse(f"path:{snapshot / below}"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    out = tmp_path / "out"
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == names
    assert not [path for path in out.rglob("*") if path.is_symlink()]


def test_a_snapshot_leads_to_its_blobs_and_nowhere_else(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "models--a--b" / "secret").write_text("secret")
    (snapshot / "vocab.txt").symlink_to("../../secret")
    with pytest.raises(SourceError, match=r"vocab\.txt is a link out of the folder"):
        fetch(parse(f"path:{snapshot}"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)


@pytest.mark.parametrize("target", ["/etc/shadow", "../secret", "/dev/zero", "/proc/self/environ", "inside", "loop"])
def test_no_link_brings_in_what_lies_elsewhere(target: str, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "secret").mkdir()
    (tmp_path / "model" / "inside").mkdir()
    (tmp_path / "model" / "loop").symlink_to(target)
    for take in (lambda source: fingerprint(source, tmp_path), lambda source: fetched(source, tmp_path)):
        with pytest.raises(SourceError) as caught:
            take(parse("path:model"))
        assert ": loop is " in caught.value.problem or "loop" in caught.value.problem


def fetched(source: PathSource, base: Path) -> dict[str, object]:
    return fetch(source, base / "out", base=base, cache=base, say=print)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "not UTF-8", "escape"])
def test_what_is_no_plain_file_is_one_line_that_can_be_printed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "model")
    name = tmp_path / "model" / "thing.json"
    if kind == "pipe":
        os.mkfifo(name)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as served:
            monkeypatch.chdir(tmp_path / "model")  # the paths of sockets are short
            served.bind("thing.json")
    elif kind == "device":
        if os.geteuid():
            pytest.skip("only root makes devices")
        os.mknod(name, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    else:
        name.with_name(os.fsdecode(b"\xff.json") if kind == "not UTF-8" else "\x1b[31m.json").write_text("{}")
    with pytest.raises(SourceError) as caught:
        fingerprint(parse("path:model"), tmp_path)
    assert caught.value.problem.isprintable()
    caught.value.problem.encode("utf-8")


def test_a_large_source_is_told_before_it_is_read(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    with (tmp_path / "model" / "huge.safetensors").open("wb") as file:
        file.truncate(2 * 10**9)  # sparse

    class Told(Exception):
        pass

    def stop(line: str) -> None:
        raise Told(line)

    with pytest.raises(Told, match=r"path:model: reading 2\.0 GB"):
        fingerprint(parse("path:model"), tmp_path, say=stop)


def test_the_limit_holds_for_what_is_fetched(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    with pytest.raises(SourceError, match=r"more than the 0\.0 kB"):
        fetch(parse("path:model"), tmp_path / "out", base=tmp_path, cache=tmp_path, most=10, say=print)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", ["pipe", "broken link", "not UTF-8"])
def test_what_is_no_plain_file_is_refused(kind: str, tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    if kind == "pipe":
        os.mkfifo(tmp_path / "model" / "weights.bin")
    elif kind == "broken link":
        (tmp_path / "model" / "gone.json").symlink_to("nowhere.json")
    else:
        (tmp_path / "model" / os.fsdecode(b"\xff.json")).write_text("{}")
    with pytest.raises(SourceError):
        fingerprint(parse("path:model"), tmp_path)


def test_a_source_larger_than_the_limit_is_told_before_it_is_read(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    with (tmp_path / "model" / "huge.safetensors").open("wb") as file:
        file.truncate(3 * 2**40)  # sparse: nothing on the disk
    with pytest.raises(SourceError, match=r"3,298\.5 GB") as caught:
        fingerprint(parse("path:model"), tmp_path)
    assert "limits" in str(caught.value.cure)


@pytest.mark.parametrize("path", ["~nosuchuser/x", "x" * 5000, "a/" * 3000])
def test_a_path_that_cannot_be_is_one_line(path: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        fingerprint(parse(f"path:{path}"), tmp_path)
    assert "\n" not in caught.value.problem
