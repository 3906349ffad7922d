"""The Docker Engine goes, comes back, hangs, loses an image or a container while a run uses it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from tests.faults.conftest import Lay
from tests.faults.daemon import Daemon
from tests.faults.rig import Tally, until

TallyOf = Callable[[str, str], Tally]


@pytest.fixture(params=["docker"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kind", ["prepare", "measure", "evaluate"])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_engine_ends_and_is_started_again(lay: Lay, tally: TallyOf, daemon: Daemon, how: str, kind: str) -> None:
    project, line = lay(seconds=1), tally(f"the Docker Engine ends ({how}) in a step: {kind}", "docker")
    running = project.start()
    running.wait_for("step", kind=kind)
    until(daemon.containers, "a container")
    before = project.measured()
    getattr(daemon, how)()
    code, told = running.end()
    daemon.start()
    # The last step may have ended just before, or is a row that failed with its engine.
    assert code == 3 or (kind == "evaluate" and code in (0, 1)), told
    assert "Traceback" not in told, told
    if code == 3:
        assert "error: the Docker Engine at" in told
        assert "run the same command again" in told
    assert before.items() <= project.measured().items()
    line.note(project.finishes(project.measured()))


def test_the_engine_is_restarted_at_once(lay: Lay, tally: TallyOf, daemon: Daemon) -> None:
    project, line = lay(seconds=1), tally("the Docker Engine is restarted while a step runs", "docker")
    running = project.start()
    running.wait_for("step", kind="measure")
    until(daemon.containers, "a container")
    before = project.measured()
    daemon.stop()
    daemon.start()
    code, told = running.end()
    assert code in (1, 3), told
    assert "Traceback" not in told, told
    assert before.items() <= project.measured().items()
    line.note(project.finishes(project.measured()))


def test_the_engine_does_not_answer_for_a_while(lay: Lay, tally: TallyOf, daemon: Daemon) -> None:
    project, line = lay(seconds=1), tally("SIGSTOP of the Docker Engine for some seconds", "docker")
    running = project.start()
    running.wait_for("step", kind="measure")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    daemon.process.send_signal(signal.SIGCONT)
    code, told = running.end()
    assert code == 0, told
    line.note(project.finishes(project.measured()))


def test_an_image_is_removed_while_it_is_used(lay: Lay, tally: TallyOf, daemon: Daemon) -> None:
    project, line = lay(seconds=0.5), tally("the image of a runtime is removed while the run uses it", "docker")
    running = project.start()
    running.wait_for("step", kind="measure")
    before = project.measured()
    for tag in daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split():
        if "runtimes-null" in tag:
            daemon.docker("rmi", "--force", tag)
    code, told = running.end()
    assert code == 0, told
    line.note(sum(project.measured().get(key) != found for key, found in before.items()))
    line.note(project.finishes(project.measured()))


@pytest.mark.parametrize("how", ["kill", "rm --force", "pause"])
def test_a_container_is_struck_alone(lay: Lay, tally: TallyOf, daemon: Daemon, how: str) -> None:
    project, line = lay(seconds=1, timeout="12s"), tally(f"docker {how} of the container", "docker")
    running = project.start()
    running.wait_for("step", kind="measure")
    until(daemon.containers, "a container")
    time.sleep(0.2)
    daemon.docker(*how.split(), *daemon.containers())
    code, told = running.end()
    assert code == 1, told
    assert "Traceback" not in told, told
    assert "report it" not in told, told
    line.note(project.finishes(project.measured()))


def test_the_engine_is_gone_before_the_run_and_while_it_ends(lay: Lay, tally: TallyOf, daemon: Daemon) -> None:
    project, line = lay(seconds=0.5), tally("the Docker Engine is gone when Ctrl-C comes twice", "docker")
    running = project.start()
    running.wait_for("step", kind="measure")
    until(daemon.containers, "a container")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    running.signal(signal.SIGINT)
    time.sleep(0.2)
    threading.Timer(2, lambda: os.kill(daemon.process.pid, signal.SIGCONT)).start()  # type: ignore[union-attr]
    running.signal(signal.SIGINT)
    code, told = running.end()
    assert code == 130, told
    assert "Traceback" not in told, told
    line.note(project.finishes(project.measured()))
