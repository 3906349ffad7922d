"""A Docker Engine on another machine (``tcp://``, ``ssh://``): nothing of this disk can be mounted there.

Inputs and code go into volumes that are named by their content, once, and are hashed there before they are used. A step writes
into a volume of its own, which goes with its container; what it wrote comes back as an archive that is not trusted.
"""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import tarfile
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog.closure import Closure
from harness.contracts import values
from harness.contracts.files import hash_of, hash_tree
from harness.contracts.machine import Machine
from harness.engines import takeover
from harness.engines.contract import Built, Job, Limits, Place, Say
from harness.engines.docker.engine import CODE, USER_ID, DockerEngine
from harness.engines.docker.mounts import Mounted
from harness.engines.energy import PackageEnergy
from harness.engines.job import SCRATCH, Running, hand_options
from harness.engines.transfer import Shelf
from harness.errors import EnvironmentProblem
from harness.provision.images import LABEL, NAMESPACE, hand_reference

if TYPE_CHECKING:
    from docker import DockerClient

VOLUME_LABEL = f"{LABEL}.volume"
ROOM = "/job"  # where the volume of a step is mounted; its root is not the step's to change
_FAR = "the Docker Engine runs on another machine, whose energy counters cannot be read from here"

#: Prints the SHA-256 of every file below /volume, as ``contracts.files.hash_tree`` does.
_HASHER = """
import hashlib, json, os
found = {}
for parent, folders, files in os.walk("/volume"):
    for name in files:
        with open(os.path.join(parent, name), "rb") as file:
            found[os.path.relpath(file.name, "/volume")] = hashlib.file_digest(file, "sha256").hexdigest()
print(json.dumps(found))
"""


class Volumes:
    """A transfer into volumes of one engine. Each is filled once, and verified there once in a session."""

    def __init__(self, client: DockerClient) -> None:
        self.client = client
        self._verified: set[str] = set()
        self._busy = threading.Lock()

    def of(self, files: Mapping[str, str], folder: Callable[[], Path], image: str) -> str:
        """The name of the volume that holds these files, by their hashes. ``image`` is one that is there and has Python.

        Raises EnvironmentProblem where they do not arrive whole.
        """
        name = f"{NAMESPACE}-{hash_of(files)[:32]}"
        with self._busy:
            if name not in self._verified:
                if not self._is_there(name) or self._hashes(name, image) != files:
                    self._fill(name, folder(), image)
                    if self._hashes(name, image) != files:
                        raise EnvironmentProblem(f"the volume {name} did not arrive whole", "try again")
                self._verified.add(name)
        return name

    def _is_there(self, name: str) -> bool:
        return any(found["Name"] == name for found in self.client.api.volumes({"name": name})["Volumes"] or ())

    def _fill(self, name: str, folder: Path, image: str) -> None:
        """By way of a container that is created and never started."""
        if self._is_there(name):
            self.client.api.remove_volume(name, force=True)
        self.client.api.create_volume(name, labels={VOLUME_LABEL: "input"})
        host = self.client.api.create_host_config(mounts=[Mounted("/volume", name, False, "volume").of_sdk()])
        container = self.client.api.create_container(image, host_config=host)["Id"]
        try:
            with tempfile.TemporaryFile() as spool:
                with tarfile.open(fileobj=spool, mode="w") as archive:
                    archive.add(folder, ".", filter=_plain)
                spool.seek(0)
                self.client.api.put_archive(container, "/volume", spool)
        finally:
            self.client.api.remove_container(container, force=True)

    def _hashes(self, name: str, image: str) -> dict[str, str]:
        told = self.client.containers.run(
            image,
            ["-I", "-c", _HASHER],
            entrypoint=["python"],
            mounts=[Mounted("/volume", name, True, "volume").of_sdk()],
            network_mode="none",
            remove=True,
        )
        return dict(json.loads(told))


class ToVolumes:
    """The transfer of one job's inputs."""

    def __init__(self, volumes: Volumes, shelf: Shelf, image: str) -> None:
        self.volumes, self.shelf, self.image = volumes, shelf, image

    def stage(self, key: str) -> str:
        """The name of a volume."""
        return self.volumes.of(self.shelf.files(key), partial(self.shelf.folder, key), self.image)


class RemoteDockerEngine(DockerEngine):
    """As the one on this machine, by way of volumes."""

    step = f"{ROOM}/step"

    @cached_property
    def _volumes(self) -> Volumes:
        return Volumes(self.client)

    @cached_property
    def _place(self) -> Place:
        info = self._info
        host = self.machine_name or str(info.get("Name") or "remote")
        identity = f"name:{self.machine_name}" if self.machine_name else str(info.get("ID"))
        there = Machine(
            id=hashlib.sha256(f"docker|{info.get('NCPU')}|{info.get('MemTotal')}|{identity}".encode()).hexdigest()[:12],
            name=host,
            cpu=str(info.get("Architecture")),  # an engine tells no more of it; records do
            cpu_count=int(info.get("NCPU") or 1),
            cores=None,
            cpu_flags=[],
            memory_bytes=int(info.get("MemTotal") or 0),
            gpus=[],
            system=str(info.get("OperatingSystem")),
            kernel=str(info.get("KernelVersion")),
        )
        return Place(host, self._devices(), there)

    def _devices(self) -> dict[str, str | None]:
        there = "nvidia" in (self._info.get("Runtimes") or {})
        reason = None if there else f"the Docker Engine at {self.host} has no NVIDIA runtime (NVIDIA Container Toolkit)"
        return {"cpu": None, "cuda": reason}

    def by_hand(self, built: Built, code: Closure, limits: Limits, runtime: str, device: str) -> str:
        """Created, filled with ``./artifact`` and started: a path of this disk cannot be mounted there."""
        start = ["docker", "create", "--volume", "/artifact", *self._docker_run(limits, device)[3:]]
        options = [hand_reference(built.image), "/artifact", *hand_options(limits, runtime, device)]
        fill, go = 'docker cp artifact/. "$c:/artifact"', 'docker start --attach "$c"; docker rm --volumes "$c"'
        return f"c=$({shlex.join([*start, *options])}) && {fill} && {go}"

    def _user(self) -> str:
        """Never root, and nobody of this machine: the user of the base image, but where root stands for a user there."""
        return "0:0" if self._rootless else f"{USER_ID}:{USER_ID}"

    def _cpus(self, count: int) -> str:
        return ",".join(map(str, range(min(count, self._place.machine.cpu_count))))

    def _metered(self, job: Job, on_line: Say) -> tuple[PackageEnergy | None, Say]:
        return (PackageEnergy([], _FAR), on_line) if job.measures else (None, on_line)

    def _watch(self, job: Job, running: Running) -> AbstractContextManager[object]:
        """Nothing here: the disk of that machine cannot be looked at. The size of a file is bounded there."""
        return nullcontext()

    def _lay_out(self, job: Job) -> None:
        """Nothing here: ``_send`` lays it out there."""

    def _mounts(self, job: Job) -> list[Mounted]:
        there = ToVolumes(self._volumes, job.shelf, job.built.reference)
        inputs = [Mounted(f"/inputs/{name}", there.stage(key), kind="volume") for name, key in job.inputs.items()]
        laid = self._laid(job)
        code = self._volumes.of(hash_tree(laid), lambda: laid, job.built.reference)
        room = Mounted(ROOM, "", read_only=False, kind="volume")  # without a name it goes with its container
        return [room, Mounted(CODE, code, kind="volume"), *inputs]

    def _send(self, container: str, job: Job) -> None:
        uid, gid = map(int, self._user().split(":"))
        described = json.dumps(values.dump(job.description)).encode()
        with io.BytesIO() as spool:
            with tarfile.open(fileobj=spool, mode="w") as archive:
                for name in ("step", f"step/{SCRATCH}"):
                    folder = tarfile.TarInfo(name)
                    folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, uid, gid
                    archive.addfile(folder)
                file = tarfile.TarInfo("step/step.json")
                file.size, file.mode = len(described), 0o644
                archive.addfile(file, io.BytesIO(described))
            self.client.api.put_archive(container, ROOM, spool.getvalue())

    def _bring(self, container: str, job: Job) -> None:
        from docker.errors import NotFound

        for name in ("status.json", "out"):
            try:
                chunks, _ = self.client.api.get_archive(container, f"{self.step}/{name}")
            except NotFound:
                continue
            takeover.take_archive(chunks, name, job.left, job.bounds)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owned by root, readable by all."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def remove_volumes(client: DockerClient, *, dry_run: bool) -> dict[str, int]:
    """Remove the inputs that were sent to an engine, but for those in use; their count and bytes."""
    from docker.errors import APIError

    found = [volume for volume in client.df()["Volumes"] or () if VOLUME_LABEL in (volume["Labels"] or {})]
    gone = []
    for volume in found:
        try:
            if not dry_run:
                client.api.remove_volume(volume["Name"])
            gone.append(volume)
        except APIError as refused:
            if refused.status_code != 409:
                raise
    sizes = [int((volume.get("UsageData") or {}).get("Size", 0)) for volume in gone]
    return {"count": len(gone), "bytes": sum(size for size in sizes if size > 0)}
