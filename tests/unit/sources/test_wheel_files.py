"""Files of published packages, from hand-made wheels in a folder that pip's own configuration names."""

from __future__ import annotations

import subprocess
import warnings
import zipfile
from pathlib import Path

import pytest

from harness.errors import SourceError
from harness.matrix.source import parse
from harness.sources import fetch, file_safety, wheel_files


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def test_a_folder_is_extracted_and_one_wheel_is_downloaded_once(
    tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(links, {"toy/model/config.json": "{}", "toy/model/sub/a.txt": "a", "toy/other.txt": "o"})
    said: list[str] = []
    facts = fetch(parse("pypi:toy==1.0/toy/model"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=said.append)
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


def test_a_damaged_cache_is_downloaded_again(tmp_path: Path, links: Path) -> None:
    write_wheel(links, {"toy/a.txt": "a"})
    fetch(parse("pypi:toy==1.0/toy/a.txt"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    (cached,) = (tmp_path / "packages").rglob("*.whl")
    cached.write_bytes(b"damaged")
    fetch(parse("pypi:toy==1.0/toy/a.txt"), tmp_path / "again", base=tmp_path, cache=tmp_path, say=print)
    assert (tmp_path / "again" / "a.txt").read_text() == "a"


def test_a_wrong_hash_shows_both(tmp_path: Path, links: Path) -> None:
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


def test_a_missing_path_inside_suggests_the_nearest(tmp_path: Path, links: Path) -> None:
    write_wheel(links, {"toy/data/model.gguf": "GGUF"})
    with pytest.raises(SourceError, match="no such file or folder") as caught:
        fetch(parse("pypi:toy==1.0/toy/model.gguf"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert "toy/data/model.gguf" in str(caught.value.cure)


@pytest.mark.parametrize("evil", ["toy/../../evil.txt", "toy/a\\..\\evil.txt"])
def test_an_entry_that_leaves_its_folder_is_refused(tmp_path: Path, links: Path, evil: str) -> None:
    write_wheel(links, {"toy/a.txt": "a", evil: "evil"})
    with pytest.raises(SourceError, match="unsafe entry"):
        fetch(parse("pypi:toy==1.0/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert not list(tmp_path.rglob("*evil*"))


def test_a_link_in_a_wheel_is_refused(tmp_path: Path, links: Path) -> None:
    wheel = write_wheel(links, {"toy/a.txt": "a"})
    link = zipfile.ZipInfo("toy/passwd")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(SourceError, match="unsafe entry"):
        fetch(parse("pypi:toy==1.0/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)


def hostile(wheel: Path, what: str) -> None:
    """Add to a wheel, or change, what no honest tool makes."""
    content = wheel.read_bytes()
    entry = zipfile.ZipInfo("toy/b.txt")
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        match what:
            case "the same name twice":
                archive.writestr("toy/a.txt", "b")
            case "the same name in other words":
                archive.writestr("toy//a.txt", "b")
            case "a file that is a folder":
                archive.writestr("toy/a.txt/b.txt", "b")
            case "a name too long":
                archive.writestr("toy/" + "b" * 300, "b")
            case "a name that ends":
                archive.writestr("toy/b\n.txt", "b")
            case "a pipe":
                entry.external_attr = 0o010666 << 16
                archive.writestr(entry, "b")
            case "a device":
                entry.external_attr = 0o020666 << 16
                archive.writestr(entry, "b")
            case "a bomb":
                archive.writestr("toy/b.txt", bytes(2**27))
    if what == "another checksum":
        at = content.index(b"aaaaaaaa")
        wheel.write_bytes(content[:at] + b"b" + content[at + 1 :])
    if what == "a password":
        at = content.index(b"PK\x01\x02")
        wheel.write_bytes(content[: at + 8] + b"\x01" + content[at + 9 :])


HOSTILE = ["the same name twice", "the same name in other words", "a file that is a folder", "a name too long"]
HOSTILE += ["a name that ends", "a pipe", "a device", "a bomb", "another checksum", "a password"]


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_honest_tool_makes_is_one_line(tmp_path: Path, what: str) -> None:
    wheel = write_wheel(tmp_path, {"toy/a.txt": "a" * 100})
    hostile(wheel, what)
    folder = tmp_path / "packages" / "toy==1.0"  # as if it had been downloaded: pip itself refuses some of them
    folder.mkdir(parents=True)
    wheel.rename(folder / wheel.name)
    (folder / f"{wheel.name}.sha256").write_text(file_safety.file_hash(folder / wheel.name))
    with pytest.raises(SourceError) as caught:
        fetch(parse("pypi:toy==1.0/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert caught.value.problem.isprintable()
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file()) < 1000


def test_an_entry_without_a_name_is_passed_over(tmp_path: Path) -> None:
    content = write_wheel(tmp_path, {"x": "", "toy/a.txt": "a"}).read_bytes()
    for header, lengths in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        at = content.index(header) + lengths  # its name of one byte becomes one byte of other things
        content = content[:at] + b"\0\0\1\0" + content[at + 4 :]
    folder = tmp_path / "packages" / "toy==1.0"
    folder.mkdir(parents=True)
    wheel = folder / "toy-1.0-py3-none-any.whl"
    wheel.write_bytes(content)
    wheel.with_name(f"{wheel.name}.sha256").write_text(file_safety.file_hash(wheel))
    fetch(parse("pypi:toy==1.0/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


def test_what_is_no_zip_is_one_line(tmp_path: Path, links: Path) -> None:
    write_wheel(links, {"toy/a.txt": "a"}).write_bytes(b"no zip")
    with pytest.raises(SourceError, match="toy") as caught:
        fetch(parse("pypi:toy==1.0/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert "\n" not in caught.value.problem


def test_a_size_is_told_before_anything_is_unpacked(tmp_path: Path, links: Path) -> None:
    write_wheel(links, {"toy/a.txt": "a" * 5000})
    said: list[str] = []
    with pytest.raises(SourceError, match=r"more than the 1\.0 kB"):
        fetch(parse("pypi:toy==1.0/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, most=1000, say=said.append)
    assert said[-1] == "pypi:toy==1.0/toy: 1 files, 5.0 kB when unpacked"
    assert not list((tmp_path / "out").iterdir())


def test_an_unknown_version_names_those_that_exist(tmp_path: Path, links: Path) -> None:
    write_wheel(links, {"toy/a.txt": "a"})
    with pytest.raises(SourceError, match="no such version") as caught:
        fetch(parse("pypi:toy==1.1/toy"), tmp_path / "out", base=tmp_path, cache=tmp_path, say=print)
    assert "1.0" in str(caught.value.cure)


def test_an_unknown_package_is_told(tmp_path: Path, links: Path) -> None:
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
