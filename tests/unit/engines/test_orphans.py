"""No process of a step outlives the step, nor the run that started it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from harness.contracts import values
from harness.contracts.files import write_json
from harness.engines.contract import Built
from harness.engines.host.engine import HostEngine
from harness.engines.orphans import JobNote, Orphans, ProcessIdentity
from tests.jobs import NULL, gone, job, job_of, program

ROOT = Path(__file__).parents[3]

#: Leaves its session and its parent, as a daemon does, and says who it is.
DAEMON = """
import os, sys, time
os.fork() and os._exit(0)
os.setsid()
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""


def pid_in(file: Path) -> int:
    for _ in range(600):
        if file.exists() and (text := file.read_text()):
            return int(text)
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def test_a_daemon_that_a_step_leaves_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    (tmp_path / "daemon.py").write_text(DAEMON)
    script = f"{sys.executable} {tmp_path}/daemon.py {file}; while ! [ -s {file} ]; do sleep 0.05; done"
    HostEngine(tmp_path / "work").run(job(tmp_path, script), lambda _: None)
    assert gone(pid_in(file))
    assert not list((tmp_path / "work" / "running").iterdir())


#: As a daemon that also clears its environment: neither group nor mark leads to it.
HIDDEN = f"""
import os, sys
if "MATRIX_JOB" in os.environ:
    os.execve(sys.executable, [sys.executable, "-I", __file__, sys.argv[1]], {{}})
{DAEMON}"""


def test_a_daemon_without_group_and_mark_ends_with_its_step(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    (tmp_path / "daemon.py").write_text(HIDDEN)
    script = f"{sys.executable} {tmp_path}/daemon.py {file}; while ! [ -s {file} ]; do sleep 0.05; done"
    HostEngine(tmp_path / "work").run(job(tmp_path, script), lambda _: None)
    assert gone(pid_in(file))


OWNER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from tests.jobs import NULL, job_of, program
    from harness.engines.contract import Built
    from harness.engines.host.engine import HostEngine

    folder = Path({folder!r})
    engine = HostEngine(folder / "work")
    engine.run(job_of(folder, Built(NULL, sys.executable, None), {{}}, engine, code=program(folder / "main.py")), print)
"""


def owner(tmp_path: Path, worker: str) -> subprocess.Popen[bytes]:
    """A run of its own whose step is the program ``worker``."""
    (tmp_path / "main.py").write_text(worker)
    return subprocess.Popen([sys.executable, "-c", dedent(OWNER.format(root=str(ROOT), folder=str(tmp_path)))])


def test_the_worker_of_a_run_that_was_killed_dies_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    worker = f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with owner(tmp_path, worker) as run:
        pid = pid_in(file)
        assert psutil.pid_exists(pid)
        run.kill()
    assert gone(pid)


@pytest.mark.parametrize("daemon", [DAEMON, HIDDEN], ids=["daemon", "hidden"])
def test_what_a_worker_left_dies_with_a_run_that_was_killed(tmp_path: Path, daemon: str) -> None:
    file = tmp_path / "pid"
    (tmp_path / "daemon.py").write_text(daemon)
    start = [sys.executable, str(tmp_path / "daemon.py"), str(file)]
    with owner(tmp_path, f"import subprocess, time; subprocess.run({start!r}); time.sleep(600)") as run:
        pid = pid_in(file)
        run.kill()
    assert gone(pid)


def test_a_worker_that_stops_its_supervisor_is_ended_at_its_limit(tmp_path: Path) -> None:
    outcome = HostEngine(tmp_path / "work").run(
        job(tmp_path, "kill -STOP $PPID; sleep 600", timeout_s=1), lambda _: None
    )
    assert outcome.timed_out


def supervisor_of(pid: int) -> psutil.Process:
    return next(parent for parent in psutil.Process(pid).parents() if "supervisor.py" in " ".join(parent.cmdline()))


def test_what_a_dead_run_and_its_dead_supervisor_left_is_ended_before_the_next_measurement(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    (tmp_path / "daemon.py").write_text(DAEMON)
    start = [sys.executable, str(tmp_path / "daemon.py"), str(file)]
    with owner(tmp_path, f"import subprocess, time; subprocess.run({start!r}); time.sleep(600)") as run:
        pid = pid_in(file)
        assert HostEngine(tmp_path / "work").reap() == 0  # its run is alive
        supervisor = supervisor_of(pid)
        run.send_signal(signal.SIGSTOP)  # so that it does not tidy up
        supervisor.kill()
        run.kill()
    assert psutil.pid_exists(pid)
    assert HostEngine(tmp_path / "work").reap() >= 1
    assert gone(pid)
    assert HostEngine(tmp_path / "work").reap() == 0


def test_a_supervisor_that_outlives_its_run_is_ended_before_the_next_measurement(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with owner(tmp_path, f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); time.sleep(600)") as run:
        pid = pid_in(file)
        supervisor = supervisor_of(pid)
        supervisor.suspend()
        run.kill()
    assert psutil.pid_exists(pid)
    assert HostEngine(tmp_path / "work").reap() >= 2
    assert gone(pid)
    assert gone(supervisor.pid)


def test_a_process_with_a_reused_id_is_another_one() -> None:
    me = ProcessIdentity.of()
    assert me.lives
    assert me.started > 0
    assert not ProcessIdentity(me.pid, me.started - 1).lives


def test_damaged_notes_are_swept(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    write_json(tmp_path / "y.json", values.dump(JobNote("token-of-nobody", ProcessIdentity(1, -1.0))))
    assert Orphans(tmp_path).reap() == 0
    assert not list(tmp_path.iterdir())


def test_the_supervisor_hands_on_arguments_and_the_exit_code(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    main.write_text("import sys; print(sys.argv[1]); sys.exit(7)")
    engine = HostEngine(tmp_path / "work")
    lines: list[str] = []
    outcome = engine.run(
        job_of(tmp_path, Built(NULL, sys.executable, None), {}, engine, code=program(main)), lines.append
    )
    assert (outcome.exit_code, lines) == (7, ["--step"])
