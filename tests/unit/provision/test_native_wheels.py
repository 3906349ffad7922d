"""Packages without wheels: compiled once on this machine, by their own script, from sources that are checked."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from harness.catalog import WheelSource
from harness.errors import BuildFailed
from harness.provision import native_wheels
from harness.provision.wheels import WheelCache

pytestmark = pytest.mark.network  # pip asks for setuptools when it fetches a source distribution

SETUP = "from setuptools import setup\nsetup(name='tiny', version='1.0', py_modules=['tiny'])\n"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelSource:
    """A source distribution in the only folder that pip knows, and a script that makes a wheel of it."""
    shop = tmp_path / "shop"
    (tmp_path / "tiny-1.0").mkdir()
    (tmp_path / "tiny-1.0" / "setup.py").write_text(SETUP)
    (tmp_path / "tiny-1.0" / "tiny.py").write_text("")
    (tmp_path / "tiny-1.0" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    shop.mkdir()
    with tarfile.open(shop / "tiny-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "tiny-1.0", "tiny-1.0")
    digest = hashlib.sha256((shop / "tiny-1.0.tar.gz").read_bytes()).hexdigest()
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "requirements.txt").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    (recipe / "build.sh").write_text('test -f "$1/tiny-1.0.tar.gz" && echo made > "$2/tiny-1.0-py3-none-any.whl"\n')
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))
    return WheelSource("tiny", recipe, ("tiny==1.0",), ("g++",), 60)


def compile_(source: WheelSource, tmp_path: Path, said: list[str]) -> Path:
    return native_wheels.on_this_machine(source, WheelCache(tmp_path / "wheels"), tmp_path / "log.txt", said.append)


def test_a_package_is_compiled_once(source: WheelSource, tmp_path: Path) -> None:
    said: list[str] = []
    wheel = compile_(source, tmp_path, said)
    assert wheel.read_text() == "made\n"
    assert said[-1] == "compiling tiny (once; about 1 min)"
    said.clear()
    assert compile_(source, tmp_path, said) == wheel
    assert not said


def test_another_script_compiles_again(source: WheelSource, tmp_path: Path) -> None:
    first = compile_(source, tmp_path, [])
    source.script.write_text(source.script.read_text().replace("made", "otherwise"))
    again = compile_(WheelSource("tiny", source.path, source.packages, source.system, 60), tmp_path, [])
    assert again.parent != first.parent
    assert again.read_text() == "otherwise\n"


def test_a_script_that_fails_is_told_with_its_last_words(source: WheelSource, tmp_path: Path) -> None:
    source.script.write_text("echo 'no such header: tiny.h' >&2; exit 1\n")
    with pytest.raises(BuildFailed, match="tiny could not be compiled") as caught:
        compile_(source, tmp_path, [])
    assert "no such header: tiny.h" in caught.value.log_tail


def test_without_a_compiler_the_cure_is_told(
    source: WheelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildFailed, match="no C") as caught:
        compile_(source, tmp_path, [])
    assert "apt install g++" in str(caught.value.cure)
