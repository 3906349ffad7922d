"""The Python that lock files were made for: this one, one on PATH, or one that uv manages."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from harness.errors import EnvironmentProblem
from harness.provision.wheels import HOST, IMAGE_PYTHON, Target

ASK_S = 20
_ASK = "import sys; print('%d.%d' % sys.version_info[:2])"


@cache
def find(version: str = IMAGE_PYTHON) -> str:
    """The path of an interpreter of that version, such as ``3.11``. Raises EnvironmentProblem with the ways to get one."""
    if version == _ours():
        return sys.executable
    for candidate in (shutil.which(f"python{version}"), _managed_by_uv(version)):
        if candidate and _says(candidate) == version:
            return candidate
    raise EnvironmentProblem(
        f"virtual environments need Python {version}, which the lock files were made for: this is {platform.python_version()}, "
        f"and there is no python{version} on PATH",
        f"{uv()} python install {version}; or install it with your system's packages; or use --engine docker",
    )


def target(version: str = IMAGE_PYTHON) -> Target:
    """What wheels must fit on this machine for that version."""
    if version == _ours():
        return HOST
    tag = f"cp{version.replace('.', '')}"
    name = f"host-{tag}-{platform.machine()}-{platform.libc_ver()[1]}"
    return Target(name, ("--python-version", version, "--implementation", "cp"))


def uv() -> str:
    """The uv that came with the harness."""
    from uv import find_uv_bin

    return str(find_uv_bin())


def _ours() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _says(python: str) -> str | None:
    """The version that an interpreter tells of itself; a shim may stand for one that is not there."""
    try:
        done = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=ASK_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _managed_by_uv(version: str) -> str | None:
    words = [uv(), "python", "find", "--no-project", "--no-config", "--no-python-downloads", version]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=ASK_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = done.stdout.strip()
    return found if found and Path(found).exists() else None
