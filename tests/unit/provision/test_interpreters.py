"""An environment gets the Python that its lock file was made for, wherever it lies; else the reader is told how to get it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.engines.venv.engine import VenvEngine
from harness.errors import EnvironmentProblem
from harness.provision import interpreters
from harness.provision.wheels import HOST, IMAGE_PYTHON

OTHER = "3.99"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    interpreters.find.cache_clear()
    yield
    interpreters.find.cache_clear()


def fake(folder: Path, says: str) -> Path:
    python = folder / f"python{OTHER}"
    python.write_text(f"#!/bin/sh\n{says}\n")
    python.chmod(0o755)
    return python


def test_this_interpreter_serves_where_it_has_the_version() -> None:
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert interpreters.find(ours) == sys.executable
    assert interpreters.target(ours) == HOST


def test_one_on_path_serves_if_it_is_what_its_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    python = fake(tmp_path, f"echo {OTHER}")
    assert interpreters.find(OTHER) == str(python)


@pytest.mark.parametrize("says", ["echo 3.12", "echo not installed >&2; exit 127"])
def test_a_shim_that_stands_for_nothing_does_not_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    fake(tmp_path, says)
    with pytest.raises(EnvironmentProblem) as caught:
        interpreters.find(OTHER)
    assert f"need Python {OTHER}" in caught.value.problem
    assert f"python install {OTHER}" in str(caught.value.cure)


def test_wheels_for_another_python_are_asked_for_by_its_version() -> None:
    found = interpreters.target(OTHER)
    assert found.name.startswith("host-cp399-")
    assert found.options == ("--python-version", OTHER, "--implementation", "cp")


@pytest.mark.network
def test_an_environment_is_made_from_a_process_of_another_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "_ours", lambda: OTHER)
    engine, image = VenvEngine(tmp_path), load_catalog().images["runtimes/null"]
    assert Path(interpreters.find()).name.startswith("python")
    built = engine.ensure(image, engine.places()[0], lambda _: None)
    assert interpreters._says(built.reference) == IMAGE_PYTHON
