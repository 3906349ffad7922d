"""Packages without wheels, compiled once into ``work/wheels/compiled``, from where images and environments install them.

``images/wheels/<package>/build.sh SOURCES OUT`` does the work. For images it runs in a container of the base image, for virtual
environments on this machine, so that the wheel fits the C library it is loaded with.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.catalog import WheelSource
from harness.errors import BuildFailed
from harness.provision.wheels import HOST, Target, WheelCache, link

Say = Callable[[str], None]


def sources(source: WheelSource, cache: WheelCache, target: Target, say: Say) -> list[Path]:
    """The package's source distribution and its build tools, fetched and checked against their hashes."""
    return cache.fetch(source.requirements, target, say, sdists=(source.package,))


def place(source: WheelSource, cache: WheelCache, built_for: str) -> Path:
    """The folder of the compiled wheel; ``built_for`` names the system that it is compiled on."""
    key = hashlib.sha256(f"{source.hash} {built_for}".encode()).hexdigest()[:16]
    return cache.folder / "compiled" / f"{source.package}-{key}"


def found(folder: Path) -> Path | None:
    """The one wheel in a folder, or None."""
    return next(iter(sorted(folder.glob("*.whl"))), None)


def on_this_machine(source: WheelSource, cache: WheelCache, log: Path, say: Say) -> Path:
    """The wheel, compiled with this machine's own C++ compiler. Raises BuildFailed."""
    folder = place(source, cache, HOST.name)
    if wheel := found(folder):
        return wheel
    if not shutil.which("c++"):
        raise BuildFailed(
            f"{source.package} has no wheels, and there is no C++ compiler here to make one",
            f"install one (Debian: apt install {' '.join(source.system)}), or use the docker engine",
        )
    files = sources(source, cache, HOST, say)
    say(f"compiling {source.package} (once; about {source.build_s // 60} min)")
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compile-", dir=cache.folder) as scratch:
        inputs, out = Path(scratch, "sources"), Path(scratch, "out")
        link(files, inputs)
        out.mkdir()
        with log.open("wb") as stream:
            command = ["bash", str(source.script), str(inputs), str(out)]
            code = subprocess.run(command, cwd=scratch, stdout=stream, stderr=subprocess.STDOUT).returncode
        if code or not (wheel := found(out)):
            text = log.read_text("utf-8", "replace")
            raise BuildFailed(f"{source.package} could not be compiled", f"the whole log: {log}", text)
        return keep(wheel, folder)


def keep(wheel: Path, folder: Path) -> Path:
    """Move a wheel into its folder of the cache; it appears there whole."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{wheel.name}.partial"
    shutil.copyfile(wheel, partial)
    partial.replace(folder / wheel.name)
    return folder / wheel.name
