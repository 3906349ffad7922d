"""Where Docker is said to be, and paths that a command line or a search path could misread."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.engines.contract import NoEngine
from harness.engines.docker.mounts import Mounted
from harness.engines.registry import choose
from harness.errors import EnvironmentProblem


@pytest.mark.parametrize(
    "host", ["nonsense", "tcp://", "tcp://localhost:port", "tcp://[::1", "http://127.0.0.1:1", "fd://", "npipe://", "unix://",
             "unix:///nowhere", "unix://" + "x" * 300, "\x1b[2J", "://", "tcp://a b"]
)  # fmt: skip
def test_a_docker_host_that_is_none_is_told(host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(NoEngine, match="no Docker Engine"):
        choose("docker", tmp_path)


def test_tls_without_its_files_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(NoEngine, match=r"certificate|TLS"):
        choose("docker", tmp_path)


@pytest.mark.parametrize("name", ["host", "venv"])
def test_a_colon_in_the_path_of_the_work_folder_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="holds a colon"):
        choose(name, tmp_path / "a:b")


def test_the_docker_engine_mounts_what_has_a_colon_or_a_comma(tmp_path: Path) -> None:
    for name in ("a:b", "a,b", 'a"b', "a b"):
        mounted = Mounted("/code", str(tmp_path / name))
        assert mounted.of_sdk()["Source"] == str(tmp_path / name)
        ((parsed,),) = [list(csv.reader([mounted.option]))]
        assert f"source={tmp_path / name}" in parsed
