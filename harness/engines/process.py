"""Steps as processes of this machine: what the engines without containers share."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import IO

from harness.catalog import Image
from harness.catalog.closure import Closure
from harness.contracts import machine, values
from harness.contracts.files import write_json
from harness.contracts.step import thread_variables
from harness.engines.contract import Built, ImageGone, Job, Limits, Outcome, Place, Say
from harness.engines.job import (
    SCRATCH,
    Running,
    arguments,
    cpu_set,
    hand_options,
    keep_log,
    metered,
    module,
)
from harness.engines.orphans import Orphans, Watched, supervised
from harness.engines.transfer import SharedDisk
from harness.engines.watch import Watch
from harness.errors import EnvironmentProblem
from harness.provision.code import CodeRoom, compile_by

#: What a step may see of this process's environment; the rest would make it differ from machine to machine.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
GRACE_S = 5.0


class ProcessEngine(ABC):
    """Every job as a process group of its own.

    ``Built.reference`` is the path of the interpreter; the code that it runs is a copy below ``work/code``, so that an edit of
    the sources while a matrix runs cannot mix two versions.
    """

    version: str | None = platform.python_version()
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"  # of the environments, as wheels name it

    def __init__(self, work: Path, machine_name: str | None = None) -> None:
        self.work = work.resolve()
        if os.pathsep in str(self.work):  # code is found by way of PYTHONPATH
            raise EnvironmentProblem(
                f"{self.work}: the path of the work folder holds a colon, which a search path of Python cannot hold",
                "name another folder with --work, or use --engine docker",
            )
        self.machine_name = machine_name
        self._running: set[Running] = set()
        self._code = CodeRoom(self.work / "code")
        self._orphans = Orphans(self.work / "running")

    @cached_property
    def _place(self) -> Place:
        driver = Path("/proc/driver/nvidia/version").exists()
        devices = {"cpu": None, "cuda": None if driver else "this machine has no NVIDIA driver"}
        return Place("here", devices, machine.describe(self.machine_name))

    def places(self) -> Sequence[Place]:
        """This machine; ``cuda`` needs NVIDIA's kernel driver."""
        return (self._place,)

    @abstractmethod
    def ensure(self, image: Image, place: Place, say: Say) -> Built:
        """The interpreter for an image."""

    def refresh(self, image: Image, code: Closure, place: Place, say: Say) -> Built:
        """As ``ensure``: ``by_hand`` lays the code out by itself."""
        return self.ensure(image, place, say)

    def command(self, job: Job) -> str:
        """``env -i NAME=VALUE ... taskset ... python -m harness.worker --step ...``."""
        variables = (f"{name}={value}" for name, value in self._variables(job).items())
        return shlex.join(["env", "-i", *variables, *self._words(job)])

    def run(self, job: Job, on_line: Say) -> Outcome:
        """Run to the end; whatever the job started ends with it. Raises ImageGone where the interpreter was removed."""
        if not Path(job.built.reference).exists():
            raise ImageGone(f"{job.built.reference} was removed while the run uses it", "run it again")
        write_json(job.left / "step.json", values.dump(job.description))
        (job.left / SCRATCH).mkdir()
        words, variables = supervised(self._words(job), job.bounds.bytes), self._variables(job)
        with self._orphans.watched() as watched:
            return self._run(job, words, variables, watched, on_line)

    def _run(self, job: Job, words: list[str], variables: dict[str, str], watched: Watched, on_line: Say) -> Outcome:
        meter, on_line = metered(job, on_line)
        started = perf_counter()
        process = subprocess.Popen(
            words,
            cwd=job.left,
            env=variables | watched.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running = Running(partial(_end, process))
        self._running.add(running)
        timer = threading.Timer(job.limits.timeout_s, running.time_out)
        log = _LogThread(process.stdout, job, on_line, running.kill)
        try:
            watched.started(process.pid)
            timer.start()
            log.start()
            with Watch(job.left, (Path(tempfile.gettempdir()), Path("/dev/shm")), job.bounds, running.exceed):
                code = process.wait()
            seconds = perf_counter() - started
        finally:
            timer.cancel()
            _kill_group(process.pid)
            self._running.discard(running)
            log.join(GRACE_S)
        if log.trouble:
            raise log.trouble
        oom = code == -signal.SIGKILL and not running.killed
        reading = meter.reading if meter else None
        return Outcome(code if code >= 0 else 128 - code, seconds, oom, running.timed_out, running.exceeded, reading)

    def kill(self) -> None:
        """End the jobs that run now, with all their children."""
        for running in tuple(self._running):
            running.kill()

    def reap(self) -> int:
        """End the processes of runs that were killed; how many."""
        return self._orphans.reap()

    def _laid(self, code: Closure, built: Built) -> Path:
        """The folder with this code, compiled by the interpreter that runs it."""
        return self._code.lay_out(code, self.python, compile_by(built.reference))

    def by_hand(self, built: Built, code: Closure, limits: Limits, runtime: str, device: str) -> str:
        """The interpreter of the environment with the image's code, on ``./artifact``."""
        laid = self._laid(code, built)
        variables = {"PYTHONPATH": str(laid), "MATRIX_IMAGE_DIR": str(laid / "image"), **thread_variables(limits.cpus)}
        words = [*_pinned(limits), built.reference, "-m", module(built.image), "artifact"]
        words += hand_options(limits, runtime, device)
        return shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), *words])

    def _words(self, job: Job) -> list[str]:
        disk = SharedDisk(job.shelf)
        inputs = {name: disk.stage(key) for name, key in job.inputs.items()}
        words = [*_pinned(job.limits), job.built.reference, "-m", module(job.built.image)]
        return [*words, *arguments(str(job.left), inputs)]

    def _variables(self, job: Job) -> dict[str, str]:
        code = self._laid(job.code, job.built)
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        home = str(job.left / SCRATCH)
        ours = {"PYTHONPATH": str(code), "MATRIX_IMAGE_DIR": str(code / "image"), "HOME": home, "TMPDIR": home}
        switches = ("PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HF_HUB_OFFLINE")
        return {**passed, **ours, **dict.fromkeys(switches, "1"), **thread_variables(job.limits.cpus)}


def _pinned(limits: Limits) -> list[str]:
    return ["taskset", "-c", cpu_set(limits.cpus)] if shutil.which("taskset") else []


class _LogThread(threading.Thread):
    """Keeps the log of a process. One that cannot be written ends the process, and ``trouble`` says why."""

    def __init__(self, stream: IO[bytes] | None, job: Job, on_line: Say, end: Callable[[], None]) -> None:
        super().__init__(name="log", daemon=True)
        assert stream is not None
        self._keep = partial(keep_log, _chunks(stream), job.log, job.bounds.log_bytes, on_line)
        self._end = end
        self.trouble: OSError | None = None

    def run(self) -> None:
        """Until the process closes its output."""
        try:
            self._keep()
        except OSError as error:
            self.trouble = error
            self._end()


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := os.read(stream.fileno(), 65536):
        yield chunk


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the supervisor end the step with all its processes, or do it here where there is none."""
    if sys.platform != "linux":
        _kill_group(process.pid)
        return
    process.send_signal(signal.SIGCONT)  # the step may have stopped it
    process.terminate()


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
