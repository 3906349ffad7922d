"""Kills, stops and exhaustion of a run, of a step and of a container: told in a line, nothing lost, nothing measured twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import psutil
import pytest

from tests.faults.conftest import Lay
from tests.faults.rig import Project, Tally, until

TallyOf = Callable[[str, str], Tally]
Strike = Callable[[psutil.Process], None]


def worker_of(project: Project) -> psutil.Process:
    """The process that measures now. A container's is found by its command line, which is the project's alone."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [process for process in psutil.process_iter(["cmdline"]) if is_worker(process, project)]
        return bool(found)

    until(look, "a worker")
    return found[0]


def is_worker(process: psutil.Process, project: Project) -> bool:
    words = process.info["cmdline"] or []
    if "-m" not in words or "harness.worker" not in words or "supervisor.py" in " ".join(words):
        return False
    mark = "/step" if project.engine == "docker" else str(project.store)
    return "python" in words[0] and any(word.startswith(mark) for word in words)


def rows(project: Project) -> dict[int, tuple[str, str]]:
    """Status and reason by batch."""
    return {cell["workload"]["batch"]: (cell["status"], cell["reason"] or "") for cell in project.cells()}


@pytest.mark.parametrize("kind", ["prepare", "measure", "evaluate"])
def test_the_run_is_killed(lay: Lay, tally: TallyOf, engine: str, kind: str) -> None:
    project, line = lay(seconds=0.3), tally(f"kill -9 of the run in a step: {kind}", engine)
    for milliseconds in (0, 150, 300):
        running = project.start()
        try:
            running.wait_for("step", kind=kind)
        except AssertionError:  # all of that kind is done
            break
        time.sleep(milliseconds / 1000)
        before = project.measured()
        running.signal(signal.SIGKILL)
        running.end()
        assert before.items() <= project.measured().items()
        line.note(0)
    line.note(project.finishes(project.measured()))


def test_the_run_is_stopped_for_longer_than_a_step_may_take(lay: Lay, tally: TallyOf, engine: str) -> None:
    """The step that ended meanwhile counts: it was within its limit."""
    project, line = lay(seconds=0.3, timeout="10s"), tally("SIGSTOP of the run for longer than a step's limit", engine)
    running = project.start()
    running.wait_for("step", kind="measure")
    running.signal(signal.SIGSTOP)
    time.sleep(12)
    before = project.measured()
    running.signal(signal.SIGCONT)
    code, told = running.end()
    assert code == 0, told
    line.note(sum(project.measured().get(key) != found for key, found in before.items()))
    line.note(project.finishes(project.measured()))


@pytest.mark.parametrize(
    ("fault", "strike", "timeout", "told_of"),
    [
        ("SIGSTOP of a step", psutil.Process.suspend, "12s", "was ended after 12 s"),
        ("kill -9 of a step", psutil.Process.kill, "60s", "measure"),
    ],
    ids=["stopped", "killed"],
)
def test_a_step_is_struck(
    lay: Lay, tally: TallyOf, engine: str, fault: str, strike: Strike, timeout: str, told_of: str
) -> None:
    project, line = lay(seconds=1, timeout=timeout), tally(fault, engine)
    running = project.start()
    running.wait_for("step", kind="measure")
    strike(worker_of(project))
    code, told = running.end()
    assert code == 1, told
    assert told_of in told
    assert "Traceback" not in told
    line.note(project.finishes(project.measured()))


EAT = "x = bytearray(2**30); x[::4096] = b'x' * len(x[::4096])"
FILL = "import os\nfor n in range(10**6): open(f'{}/f{{n}}', 'wb').write(bytes(2**20))"
CASES = {
    "memory": (("docker",), EAT, {}, "oom-host", "of memory"),
    "/tmp": (("docker",), FILL.format("/tmp"), {"MATRIX_TMP_BYTES": str(2**24)}, "crashed", "MATRIX_TMP_BYTES"),
    "/dev/shm": (("docker",), FILL.format("/dev/shm"), {"MATRIX_SHM_BYTES": str(2**24)}, "crashed", "MATRIX_SHM_BYTES"),
    "its folder": (
        ("host", "docker"),
        "import os, tempfile\nroot = '/step/tmp' if os.path.exists('/step/tmp') else tempfile.gettempdir()\n"
        "for n in range(10**6): open(f'{root}/f{n}', 'wb').write(bytes(2**20))",
        {"MATRIX_OUTPUT_BYTES": str(2**27)},
        "crashed",
        "MATRIX_OUTPUT_BYTES",
    ),
    "its log": (
        ("host", "docker"),
        "import os\nif not hasattr(os, 'said'):\n os.said = True\n for n in range(300): os.write(1, b'x' * 2**20)",
        {"MATRIX_LOG_BYTES": str(2**20)},
        "ok",
        "",
    ),
}


@pytest.mark.parametrize(("engine", "name"), [(engine, name) for name in CASES for engine in CASES[name][0]])
def test_a_step_takes_all_it_can(lay: Lay, tally: TallyOf, engine: str, name: str) -> None:
    _, fault, settings, status, reason = CASES[name]
    project, line = lay(fault=fault), tally(f"a step takes all it can of {name}", engine)
    done = project.run("run", "--progress", "plain", **settings)
    assert done.returncode == (status != "ok"), done.stderr
    assert "Traceback" not in done.stderr
    assert rows(project)[1] == ("ok", "")
    assert rows(project)[2][0] == status
    assert reason in rows(project)[2][1]
    before = project.measured()
    project.run("run", "--progress", "plain", **settings)
    line.note(sum(project.measured().get(key) != found for key, found in before.items()))
    assert max(file.stat().st_size for file in project.store.rglob("log.txt")) < 9 * 2**20


def test_no_worker_outlives_a_run_that_is_killed(lay: Lay, tally: TallyOf, engine: str) -> None:
    """With Docker: until the next run, which removes it before it measures."""
    project, line = lay(seconds=20), tally("kill -9 of the run: its worker", engine)
    running = project.start()
    running.wait_for("step", kind="measure")
    worker = worker_of(project)
    running.signal(signal.SIGKILL)
    running.end()
    if engine == "docker":
        text = project.folder / "matrix.yaml"
        text.write_text(text.read_text().replace("seconds: 20", "seconds: 0.1"))
        again = project.start()
        again.wait_for("step", kind="measure")
        assert not worker.is_running()
        assert again.end()[0] == 0
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker's end")
    line.note(0)


def test_the_memory_of_a_run_does_not_grow_with_what_a_step_prints(lay: Lay, tally: TallyOf, engine: str) -> None:
    """A gigabyte, without a line break."""
    fault = "import os\nif not hasattr(os, 'said'):\n os.said = True\n for n in range(1000): os.write(1, b'x' * 2**20)"
    project, line = lay(fault=fault), tally("a gigabyte of log without a line break", engine)
    running = project.start()
    running.wait_for("begin")
    me, most = psutil.Process(running.process.pid), 0
    while running.process.poll() is None:
        try:
            most = max(most, me.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    assert running.end()[0] == 0
    assert 0 < most < 400 * 2**20
    line.note(project.finishes(project.measured()))
