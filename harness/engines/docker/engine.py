"""The Docker engine: every step in a fresh container without network, privileges or a writable root."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from harness.catalog import Image
from harness.catalog.closure import Closure
from harness.contracts import machine, values
from harness.contracts.files import write_json
from harness.contracts.step import thread_variables
from harness.engines.bounds import Bounds
from harness.engines.contract import Built, ImageGone, Job, Limits, Outcome, Place, Say
from harness.engines.docker.endpoint import answering, info
from harness.engines.docker.endpoint import client as connect
from harness.engines.docker.labels import RUN_LABEL, is_orphan, run_label
from harness.engines.docker.mounts import Mounted
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
from harness.engines.transfer import SharedDisk
from harness.engines.watch import Watch
from harness.errors import EnvironmentProblem
from harness.provision.code import CodeRoom, compile_here
from harness.provision.images import LABEL, ImageBuilder, hand_reference, reference
from harness.provision.wheels import IMAGE_PYTHON

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.types import DeviceRequest

    from harness.engines.energy import PackageEnergy

WAIT_SLICE_S = 600
PIDS_LIMIT = 1024
LOG_SIZE = "64m"
TMPFS = "rw,exec,nosuid,nodev"
USER_ID = 10001  # of the user ``matrix`` in the base image
BY_HAND = Bounds()  # of what is run by hand
CODE = "/code"  # where a container finds our code


class DockerEngine:
    """Every job in a container of its own."""

    name = "docker"
    isolation = "container"
    caveats: tuple[str, ...] = ()
    step = "/step"  # where a container finds the step's folder

    def __init__(self, work: Path, host: str, version: str | None, machine_name: str | None = None) -> None:
        self.work = work.resolve()
        self.host = host
        self.version = version
        self.machine_name = machine_name
        self._running: set[Running] = set()
        self._code = CodeRoom(self.work / "code")

    @cached_property
    def client(self) -> DockerClient:
        """The SDK's client; importing it takes a quarter of a second, so it waits until something must run."""
        return connect(self.host)

    @cached_property
    def _info(self) -> dict[str, Any]:
        return info(self.host)

    @cached_property
    def _builder(self) -> ImageBuilder:
        return ImageBuilder(self.client, self.work)

    @cached_property
    def _place(self) -> Place:
        return Place("here", self._devices(), machine.describe(self.machine_name))

    def places(self) -> Sequence[Place]:
        """The machine that the engine runs on."""
        return (self._place,)

    def missing(self, image: Image, place: Place) -> bool:
        """Whether exactly this environment is not there."""
        with answering(self.host, f"look for {reference(image)}"):
            return self._builder.find(image) is None

    def fetch(self, image: Image, place: Place, say: Say) -> None:
        """Download the wheels of an image and the sources of what is compiled for it."""
        with answering(self.host, f"say what {image.name} is fetched for"):
            self._builder.fetch(image, say)

    def ensure(self, image: Image, place: Place, say: Say) -> Built:
        """Build the base and the image where they are missing."""
        with answering(self.host, f"build {reference(image)}"):
            return Built(image, reference(image), self._builder.ensure(image, say))

    def refresh(self, image: Image, code: Closure, place: Place, say: Say) -> Built:
        """Build the image where it is missing, and the one to be run by hand where its code is another."""
        built = self.ensure(image, place, say)
        with answering(self.host, f"build {hand_reference(image)}"):
            self._builder.ensure_hand(image, code, say)
        return built

    def _devices(self) -> dict[str, str | None]:
        """``cuda`` needs NVIDIA's container toolkit in the engine, and a driver."""
        reason = None
        if "nvidia" not in (self._info.get("Runtimes") or {}):
            reason = "the Docker Engine has no NVIDIA runtime (NVIDIA Container Toolkit)"
        elif not Path("/proc/driver/nvidia/version").exists():
            reason = "this machine has no NVIDIA driver"
        return {"cpu": None, "cuda": reason}

    def command(self, job: Job) -> str:
        """The ``docker run`` line with the same limits, mounts and arguments as ``run`` uses."""
        mounts = [word for mount in self._mounts(job) for word in ("--mount", mount.option)]
        variables = [word for name, value in self._variables(job).items() for word in ("--env", f"{name}={value}")]
        start = self._docker_run(job.limits, job.device, job.bounds)
        start += ["--ulimit", f"fsize={job.bounds.bytes}:{job.bounds.bytes}", *variables, *mounts]
        start += ["--entrypoint", "python"]
        return shlex.join([*start, job.built.reference, *_entry(job)[1:], *self._arguments(job)])

    def by_hand(self, built: Built, code: Closure, limits: Limits, runtime: str, device: str) -> str:
        """``docker run`` of the image on ``./artifact``, wherever that lies: the path may hold a colon or a comma."""
        options = ["/artifact", *hand_options(limits, runtime, device)]
        start = shlex.join(self._docker_run(limits, device))
        mount = r'"type=bind,\"source=$PWD/artifact\",target=/artifact,readonly"'
        return f"{start} --mount {mount} {shlex.join([hand_reference(built.image), *options])}"

    def _docker_run(self, limits: Limits, device: str, bounds: Bounds = BY_HAND) -> list[str]:
        memory = str(limits.memory_bytes)
        words = ["docker", "run", "--rm", "--init", "--network", "none", "--read-only"]
        words += ["--tmpfs", f"/tmp:{_tmpfs(bounds)}"]
        words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", str(PIDS_LIMIT)]
        words += ["--memory", memory, "--memory-swap", memory, "--shm-size", str(bounds.shm_bytes)]
        words += ["--cpuset-cpus", self._cpus(limits.cpus), "--user", self._user()]
        words += ["--gpus", "all"] if device == "cuda" else []
        for name, value in thread_variables(limits.cpus).items():
            words += ["--env", f"{name}={value}"]
        return words

    def run(self, job: Job, on_line: Say) -> Outcome:
        """Run to the end. Raises EnvironmentProblem where the engine cannot run it, or has gone; ImageGone."""
        from docker.errors import APIError, ImageNotFound

        with answering(self.host, f"run {job.built.reference}"):
            try:
                return self._run(job, on_line)
            except ImageNotFound:
                raise ImageGone(f"{job.built.reference} was removed while the run uses it", "run it again") from None
            except APIError as error:
                raise EnvironmentProblem(
                    f"the Docker Engine could not run {job.built.reference}: {error.explanation or error}",
                    f"try it by hand: {self.command(job)}",
                ) from error

    def _run(self, job: Job, on_line: Say) -> Outcome:
        """The container is inspected before it is removed, and removed whatever happens."""
        self._lay_out(job)
        meter, on_line = self._metered(job, on_line)
        container = self._create(job)
        running = Running(partial(self._kill, container))
        self._running.add(running)
        timer = threading.Timer(job.limits.timeout_s, running.time_out)
        try:
            self._send(container, job)
            started = perf_counter()
            self.client.api.start(container)
            if running.killed:  # between create and start there was nothing to kill
                self._kill(container)
            timer.start()
            with self._watch(job, running):
                self._follow(container, job, on_line)
                state = self._wait(container)
            seconds = perf_counter() - started
            code = int(state["ExitCode"])
            oom = bool(state.get("OOMKilled")) or (code != 0 and self._oom_event(container))
            self._bring(container, job)
            reading = meter.reading if meter else None
            oom = oom and not running.killed
            return Outcome(code, seconds, oom, running.timed_out, running.exceeded, reading)
        finally:
            timer.cancel()
            self._running.discard(running)
            self._remove(container)

    def _lay_out(self, job: Job) -> None:
        """The step's folder, which belongs to the container's user, and its description, which does not."""
        write_json(_described(job), values.dump(job.description))
        _described(job).chmod(0o644)
        (job.left / SCRATCH).mkdir()
        _hand_over(job.left, self._user())

    def _laid(self, job: Job) -> Path:
        """The folder with the job's code."""
        python = f"cp{IMAGE_PYTHON.replace('.', '')}"
        return self._code.lay_out(job.code, python, partial(self._compile, job.built.reference))

    def _compile(self, image: str, folder: Path) -> None:
        """By this interpreter where it is the images' Python, else in a container."""
        if f"{sys.version_info.major}.{sys.version_info.minor}" == IMAGE_PYTHON:
            compile_here(folder)
            return
        self.client.containers.run(
            image,
            ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", CODE],
            entrypoint=["python"],
            mounts=[Mounted(CODE, str(folder), read_only=False).of_sdk()],
            user=f"{os.getuid()}:{os.getgid()}",
            network_mode="none",
            remove=True,
        )

    def _mounts(self, job: Job) -> list[Mounted]:
        disk = SharedDisk(job.shelf)
        inputs = [Mounted(f"/inputs/{name}", disk.stage(key)) for name, key in job.inputs.items()]
        step = Mounted(self.step, str(job.left.resolve()), read_only=False)
        described = Mounted(f"{self.step}/step.json", str(_described(job).resolve()))
        return [step, described, Mounted(CODE, str(self._laid(job))), *inputs]

    # What a machine that shares no disk does otherwise: see ``remote``.

    def _watch(self, job: Job, running: Running) -> AbstractContextManager[object]:
        """What ends a step that fills the disk."""
        return Watch(job.left, (), job.bounds, running.exceed)

    def _metered(self, job: Job, on_line: Say) -> tuple[PackageEnergy | None, Say]:
        return metered(job, on_line)

    def _cpus(self, count: int) -> str:
        return cpu_set(count)

    def _send(self, container: str, job: Job) -> None:
        """Bring to the container what no mount brings, before it starts."""

    def _bring(self, container: str, job: Job) -> None:
        """Bring what the step wrote to ``job.left``, when it has ended."""

    def _variables(self, job: Job) -> dict[str, str]:
        ours = {"PYTHONPATH": CODE, "MATRIX_IMAGE_DIR": f"{CODE}/image"}
        # Conversions write copies of their models: onto the disk, for /tmp is memory and counts against the step's limit.
        return ours | ({"TMPDIR": f"{self.step}/{SCRATCH}"} if job.built.image.kind == "toolchains" else {})

    def _arguments(self, job: Job) -> list[str]:
        return arguments(self.step, {name: f"/inputs/{name}" for name in job.inputs})

    def kill(self) -> None:
        """End the containers that run now, and the build."""
        if builder := self.__dict__.get("_builder"):  # cached_property: none was needed so far
            builder.stop()
        for running in tuple(self._running):
            running.kill()

    def _kill(self, container: str) -> None:
        from docker.errors import APIError
        from requests.exceptions import RequestException

        with contextlib.suppress(APIError, RequestException):  # it may just have ended, by itself or with its engine
            self.client.api.kill(container)

    def reap(self) -> int:
        """Remove the containers of runs on this machine whose process is gone."""
        with answering(self.host, "list its containers"):
            containers = self.client.api.containers(all=True, filters={"label": RUN_LABEL})
            orphans = [found["Id"] for found in containers if is_orphan(found["Labels"][RUN_LABEL])]
            for orphan in orphans:
                self._remove(orphan)
        return len(orphans)

    def _create(self, job: Job) -> str:
        from docker.types import LogConfig, Ulimit

        api = self.client.api
        memory = job.limits.memory_bytes
        host = api.create_host_config(
            mem_limit=memory,
            memswap_limit=memory,
            cpuset_cpus=self._cpus(job.limits.cpus),
            pids_limit=PIDS_LIMIT,
            shm_size=job.bounds.shm_bytes,
            ulimits=[Ulimit(name="fsize", soft=job.bounds.bytes, hard=job.bounds.bytes)],
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": _tmpfs(job.bounds)},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            init=True,
            mounts=[mount.of_sdk() for mount in self._mounts(job)],
            device_requests=_device_requests(job.device),
            log_config=LogConfig(type="json-file", config={"max-size": LOG_SIZE}),
        )
        container = api.create_container(
            job.built.reference,
            entrypoint=_entry(job),
            command=self._arguments(job),
            user=self._user(),
            environment=thread_variables(job.limits.cpus) | self._variables(job),
            labels={RUN_LABEL: run_label(), f"{LABEL}.step": job.key[:16]},
            host_config=host,
        )
        return str(container["Id"])

    def _follow(self, container: str, job: Job, on_line: Callable[[str], None]) -> None:
        """Keep the log. A stream that breaks ends the log, not the step."""
        from docker.errors import NotFound
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        with contextlib.suppress(RequestException, HTTPError, NotFound):
            chunks = self.client.api.logs(container, stream=True, follow=True)
            keep_log(chunks, job.log, job.bounds.log_bytes, on_line)

    def _wait(self, container: str) -> dict[str, Any]:
        """The container's final state. The SDK's wait gives up after a while; whether it runs is then looked up.

        One that somebody removed was killed first.
        """
        from docker.errors import NotFound
        from requests.exceptions import ConnectionError, ReadTimeout

        while True:
            with contextlib.suppress(ConnectionError, ReadTimeout, NotFound):
                self.client.api.wait(container, timeout=WAIT_SLICE_S)
            try:
                state: dict[str, Any] = self.client.api.inspect_container(container)["State"]
            except NotFound:
                return {"Running": False, "ExitCode": 128 + signal.SIGKILL}
            if not state["Running"]:
                return state

    def _oom_event(self, container: str) -> bool:
        """Whether the engine saw an out-of-memory kill in this container; not every engine sets the flag.

        All events that it remembers are asked for, because a clock may have been set meanwhile.
        """
        filters = {"container": container, "event": "oom"}
        events = self.client.api.events(since=1, until=int(time()) + 1, filters=filters)
        return any(True for _ in events)

    def _remove(self, container: str) -> None:
        from docker.errors import APIError

        try:
            self.client.api.remove_container(container, force=True, v=True)
        except APIError as error:
            if error.status_code not in (404, 409):  # gone, or being removed already
                raise

    @property
    def _rootless(self) -> bool:
        return any("rootless" in option for option in self._info.get("SecurityOptions") or ())

    def _user(self) -> str:
        """Ourselves, so that results belong to us; never root, but where root stands for us (rootless Docker)."""
        if self._rootless:
            return "0:0"
        return f"{os.getuid()}:{os.getgid()}" if os.getuid() else f"{USER_ID}:{USER_ID}"


def _described(job: Job) -> Path:
    """The file that a container sees as its step.json, and cannot change."""
    return job.left.with_name("step.json")


def _entry(job: Job) -> list[str]:
    return ["python", "-m", module(job.built.image)]


def _device_requests(device: str) -> list[DeviceRequest] | None:
    from docker.types import DeviceRequest

    return [DeviceRequest(count=-1, capabilities=[["gpu"]])] if device == "cuda" else None


def _hand_over(left: Path, user: str) -> None:
    """Give the step's folder, before it runs, to the container's user where that is somebody else (we are root)."""
    uid, gid = map(int, user.split(":"))
    if os.getuid() == 0 and uid != 0:
        for path in (left, left / SCRATCH):
            os.chown(path, uid, gid, follow_symlinks=False)


def _tmpfs(bounds: Bounds) -> str:
    return f"{TMPFS},size={bounds.tmp_bytes}"
