"""The wheel cache: what images and virtual environments install from, fetched once on the host.

The host's own pip downloads, so that its configuration (index, mirrors, find-links, certificates, proxies, credentials)
is honoured and stays on the host: an image sees the wheels only. Every wheel is checked against the hashes of the lock
file by pip when it arrives, by this module before each use, and by the installer once more.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from harness.contracts.files import hash_file, write_json
from harness.errors import BuildFailed, EnvironmentProblem

#: The Python of the images, and the newest glibc whose wheels they can load (Debian 12).
IMAGE_PYTHON = "3.11"
IMAGE_GLIBC_MINOR = 36


@dataclass(frozen=True)
class Target:
    """What the wheels are for: a name for the index, and pip's options that select compatible wheels."""

    name: str
    options: tuple[str, ...] = ()


#: This interpreter on this machine.
HOST = Target(f"host-cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}-{platform.libc_ver()[1]}")


def image_target(machine: str = platform.machine()) -> Target:
    """The images of an engine whose processor is ``machine`` (``x86_64``, ``aarch64``)."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine)
    names = [f"manylinux_2_{minor}" for minor in range(IMAGE_GLIBC_MINOR, 4, -1)]
    names += ["manylinux2014", "manylinux2010", "manylinux1", "linux"]
    platforms = (option for name in names for option in ("--platform", f"{name}_{machine}"))
    return Target(
        f"image-cp{IMAGE_PYTHON}-{machine}",
        ("--python-version", IMAGE_PYTHON, "--implementation", "cp", *platforms),
    )


class WheelCache:
    """Wheels in one flat folder, and below ``locks/`` which of them a lock file stands for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(
        self, requirements: Path, target: Target, say: Callable[[str], None], sdists: Collection[str] = ()
    ) -> list[Path]:
        """The wheels of a lock file, downloaded if one is missing or damaged; of ``sdists`` the source distributions.

        Raises EnvironmentProblem (no index, no disk space) or BuildFailed (no such wheel, wrong hash).
        """
        lock = hashlib.sha256(target.name.encode() + b"\0" + requirements.read_bytes()).hexdigest()
        index = self.folder / "locks" / f"{lock[:16]}.json"
        if (wheels := self._intact(index)) is not None:
            return wheels
        say(f"fetching the packages of {requirements.parent.parent.name}/{requirements.parent.name}")
        index.parent.mkdir(parents=True, exist_ok=True)
        self._drop_damaged()
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=self.folder) as partial:
            _download(requirements, target, Path(partial), self.folder, sdists)
            arrived = sorted(Path(partial).iterdir())
            hashes = {wheel.name: hash_file(wheel) for wheel in arrived}
            for wheel in arrived:
                wheel.replace(self.folder / wheel.name)
        write_json(index, hashes)
        return [self.folder / name for name in hashes]

    def _intact(self, index: Path) -> list[Path] | None:
        """The wheels that an index names, or None if one of them is missing or not what it was."""
        try:
            hashes = _read_hashes(index)
            whole = all(hash_file(self.folder / name) == wanted for name, wanted in hashes.items())
        except (OSError, ValueError):
            return None
        return [self.folder / name for name in hashes] if whole else None

    def _drop_damaged(self) -> None:
        """Remove wheels that are not what an index says, for pip would find them here before it looks elsewhere."""
        for index in self.folder.glob("locks/*.json"):
            try:
                hashes = _read_hashes(index)
            except ValueError:  # it is damaged itself, and is written again when its wheels are asked for
                continue
            for name, wanted in hashes.items():
                wheel = self.folder / name
                if wheel.exists() and hash_file(wheel) != wanted:
                    wheel.unlink()


def _download(requirements: Path, target: Target, destination: Path, found: Path, sdists: Collection[str]) -> None:
    command = [sys.executable, "-m", "pip", "download", "--require-hashes", "--only-binary=:all:", "--no-deps"]
    command += [f"--no-binary={name}" for name in sdists]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", f"--find-links={found}"]
    command += ["--dest", str(destination), *target.options, "-r", str(requirements)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        raise explain_pip(done.stdout, requirements)


_UNREACHABLE = re.compile(
    r"NewConnectionError|Failed to establish|Max retries|timed out|CERTIFICATE_VERIFY|ProxyError|Retrying \("
)
_NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")


def explain_pip(log: str, requirements: Path) -> EnvironmentProblem:
    """What went wrong in a failed ``pip download``, with its cure; more specific causes first."""
    if "No space left on device" in log:
        return EnvironmentProblem(
            "the disk is full: wheels could not be stored",
            "free some space: harness clean --dry-run",
        )
    if "DO NOT MATCH THE HASHES" in log:
        return BuildFailed(
            f"a wheel does not have the hash that {requirements} names",
            "the index serves another file: remove it from a mirror or a find-links folder, or lock anew",
            log,
        )
    if _UNREACHABLE.search(log):
        return EnvironmentProblem(
            "no package index could be reached for wheels",
            "check the network, or set PIP_INDEX_URL, PIP_PROXY or PIP_CERT as for any pip on this machine",
        )
    missing = _NO_WHEEL.search(log)
    if missing and missing[1].startswith("tensorrt"):
        return BuildFailed(
            f"{missing[1]} was not found: NVIDIA keeps TensorRT's libraries in its own package index",
            "set PIP_EXTRA_INDEX_URL to it (NVIDIA's installation guide names it), then lock again: harness lock "
            f"{requirements.parent.parent.name}/{requirements.parent.name}",
            log,
        )
    if missing and "+cpu" in missing[1]:
        return BuildFailed(
            f"the CPU wheel {missing[1]} was not found: the package index has GPU builds only",
            "set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels, which pytorch.org names under Get Started",
            log,
        )
    if missing:
        ours, locked = platform.python_version(), IMAGE_PYTHON
        return BuildFailed(
            f"no wheel of {missing[1]} for this platform was found",
            f"the lock files are made for Python {locked} (this one is {ours}); is the index complete?",
            log,
        )
    return BuildFailed(f"pip could not fetch the wheels of {requirements}", "see the log below", log)


def link(files: list[Path], folder: Path) -> None:
    """Put ``files`` into ``folder`` as hard links, as copies where the file system does not allow it."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        try:
            os.link(file, folder / file.name)
        except OSError:
            shutil.copyfile(file, folder / file.name)


def _read_hashes(index: Path) -> dict[str, str]:
    return dict(json.loads(index.read_text("utf-8")))
