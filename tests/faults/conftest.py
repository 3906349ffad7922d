"""What the tests of faults share: a small checkout, a project for each test, a Docker Engine of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.engines.registry import choose
from harness.errors import EnvironmentProblem
from harness.provision.contexts import base_hash
from tests.faults.daemon import Daemon
from tests.faults.rig import ROOT, Project, Tally, lay_out_checkout

Lay = Callable[..., Project]


def lacking(reason: str) -> None:
    """Skip, or fail where Docker is required."""
    if os.environ.get("MATRIX_REQUIRE_DOCKER") == "1":
        pytest.fail(f"MATRIX_REQUIRE_DOCKER=1, but: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def own_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A Docker Engine that has the base image, and what the matrix needs once it was built."""
    if os.geteuid() or not shutil.which("dockerd"):
        lacking("a Docker Engine of its own needs root and dockerd")
    try:
        shared, _ = choose("docker", tmp_path_factory.mktemp("work"))
    except EnvironmentProblem as problem:
        lacking(str(problem))
    shared._builder.ensure_base(ROOT / "images" / "base", print)  # type: ignore[attr-defined]
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="faults-")))  # the path of a socket is short
    try:
        daemon.start()
        daemon.load(f"compression-matrix/base:{base_hash(ROOT / 'images' / 'base')}")
        yield daemon
    finally:
        daemon.remove()


@pytest.fixture
def daemon(own_daemon: Daemon) -> Daemon:
    """The same, running."""
    if own_daemon.process is None or not own_daemon.process.is_running():
        own_daemon.start()
    return own_daemon


@pytest.fixture(params=["host", "docker"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lay(engine: str, checkout: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Lay:
    """Lays out a project for the engine. One with containers lies where their user can go."""
    environment = {}
    if engine == "docker":
        environment["DOCKER_HOST"] = request.getfixturevalue("daemon").host

    def lay(name: str = "project", work: Path | None = None, **settings: object) -> Project:
        return Project(checkout, tmp_path / name, engine, environment, work).lay_out(**settings)  # type: ignore[arg-type]

    return lay


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], Tally]]:
    """Opens a line of the table of faults; it is written when the test ends. A test that fails has lost."""
    lines: list[Tally] = []

    def opened(fault: str, engine: str) -> Tally:
        lines.append(Tally(fault, engine))
        return lines[-1]

    yield opened
    for line in lines:
        if getattr(request.node, "failed", False):
            line.note(1)
        line.write()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell the fixture ``tally`` whether its test has failed."""
    report = yield
    if report.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
    return report
