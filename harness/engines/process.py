"""Steps as processes of this machine: what the engines without containers share."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import IO

from harness.catalog import Image
from harness.contracts.threads import thread_variables
from harness.engines import Environment, Job, Limits, Outcome
from harness.engines.job import Running, arguments, cpu_set, hand_options, keep_log, module
from harness.provision.images import assemble_code

#: What a step may see of this process's environment; the rest would make it differ from machine to machine.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
GRACE_S = 5.0


class ProcessEngine:
    """Every job as a process group of its own.

    ``Environment.reference`` is the path of the interpreter that runs an image's code; the code is a copy below
    ``work/code``, so that an edit of the sources while a matrix runs cannot mix two versions.
    """

    version: str | None = platform.python_version()

    def __init__(self, work: Path) -> None:
        self.work = work.resolve()
        self._running: set[Running] = set()
        self._copying = threading.Lock()

    def devices(self) -> dict[str, str | None]:
        """``cuda`` needs NVIDIA's kernel driver."""
        driver = Path("/proc/driver/nvidia/version").exists()
        return {"cpu": None, "cuda": None if driver else "this machine has no NVIDIA driver"}

    def command(self, job: Job) -> str:
        """``env -i NAME=VALUE ... taskset ... python -m harness.worker --step ...``."""
        variables = (f"{name}={value}" for name, value in self._variables(job).items())
        return shlex.join(["env", "-i", *variables, *self._words(job)])

    def run(self, job: Job, on_line: Callable[[str], None]) -> Outcome:
        """Run to the end; whatever the job started ends with it."""
        home = job.step / "tmp"
        home.mkdir(exist_ok=True)
        started = perf_counter()
        process = subprocess.Popen(
            self._words(job),
            cwd=job.step,
            env=self._variables(job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running = Running(partial(_kill_group, process.pid))
        self._running.add(running)
        timer = threading.Timer(job.limits.timeout_s, running.time_out)
        assert process.stdout is not None
        reader = threading.Thread(target=keep_log, args=(_chunks(process.stdout), job, on_line), daemon=True)
        try:
            timer.start()
            reader.start()
            code = process.wait()
            seconds = perf_counter() - started
        finally:
            timer.cancel()
            _kill_group(process.pid)
            self._running.discard(running)
            reader.join(GRACE_S)
            shutil.rmtree(home, ignore_errors=True)
        oom = code == -signal.SIGKILL and not running.killed
        return Outcome(code if code >= 0 else 128 - code, seconds, oom, running.timed_out)

    def kill(self) -> None:
        """End the jobs that run now, with all their children."""
        for running in tuple(self._running):
            running.kill()

    def reap(self) -> int:
        """Nothing to do: a process group leaves nothing behind that could be told from the user's own processes."""
        return 0

    def _code(self, image: Image) -> Path:
        folder = self.work / "code" / f"{image.slug}-{image.source_hash[:12]}"
        with self._copying:
            if not folder.exists():
                assemble_code(image, folder)
        return folder

    def by_hand(self, environment: Environment, limits: Limits, runtime: str, device: str) -> str:
        """The interpreter of the environment with the image's code, on ``./artifact``."""
        code = self._code(environment.image)
        variables = {"PYTHONPATH": str(code), "MATRIX_IMAGE_DIR": str(code / "image"), **thread_variables(limits.cpus)}
        words = [*_pinned(limits), environment.reference, "-m", module(environment.image), "artifact"]
        words += hand_options(limits, runtime, device)
        return shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), *words])

    def _words(self, job: Job) -> list[str]:
        inputs = {name: str(path) for name, path in job.inputs.items()}
        image = job.environment.image
        words = [*_pinned(job.limits), job.environment.reference, "-m", module(image)]
        return [*words, *arguments(str(job.step), inputs)]

    def _variables(self, job: Job) -> dict[str, str]:
        code = self._code(job.environment.image)
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        home = str(job.step / "tmp")
        ours = {"PYTHONPATH": str(code), "MATRIX_IMAGE_DIR": str(code / "image"), "HOME": home, "TMPDIR": home}
        switches = ("PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HF_HUB_OFFLINE")
        return {**passed, **ours, **dict.fromkeys(switches, "1"), **thread_variables(job.limits.cpus)}


def _pinned(limits: Limits) -> list[str]:
    return ["taskset", "-c", cpu_set(limits.cpus)] if shutil.which("taskset") else []


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := os.read(stream.fileno(), 65536):
        yield chunk


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
