"""The venv engine: one virtual environment per image, from the same lock file. Used where no Docker Engine answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

from harness.catalog import Image
from harness.engines.contract import Built, Place, Say
from harness.engines.process import ProcessEngine
from harness.errors import BuildFailed, EnvironmentProblem
from harness.provision import interpreters, native_wheels
from harness.provision.wheels import HOST, IMAGE_PYTHON, WheelCache

MARKER = ".complete"


class VenvEngine(ProcessEngine):
    """Virtual environments below ``work/envs``, named by what they depend on."""

    name = "venv"
    isolation = "venv"
    python = f"cp{IMAGE_PYTHON.replace('.', '')}"
    caveats: tuple[str, ...] = (
        "venv engine: no memory limit, no isolation from the machine or the network",
        "venv engine: environments share files by hard links, so mapped libraries may be warm in the page cache",
    )

    def __init__(self, work: Path, machine_name: str | None = None) -> None:
        super().__init__(work, machine_name)
        self._compiling = threading.Lock()

    def missing(self, image: Image, place: Place) -> bool:
        """Whether the environment is not there, or was not finished."""
        return not _usable(self._folder(image))

    def fetch(self, image: Image, place: Place, say: Say) -> None:
        """Download the wheels of an image and the sources of what is compiled for it."""
        wheels = WheelCache(self.work / "wheels")
        for source in image.compiled:
            native_wheels.sources(source, wheels, HOST, say)
        wheels.fetch(image.requirements, interpreters.target(), say)

    def ensure(self, image: Image, place: Place, say: Say) -> Built:
        """Make the environment with uv, from wheels that pip fetched, without an index."""
        folder = self._folder(image)
        if not _usable(folder):
            interpreters.find()  # before anything is fetched
            wheels = WheelCache(self.work / "wheels")
            wheels.fetch(image.requirements, interpreters.target(), say)
            logs = self.work / "logs"
            compiled = []
            if image.compiled:
                with self._compiling:  # two images may need the same package
                    compiled = [
                        native_wheels.on_this_machine(source, wheels, logs / f"build-wheels-{source.package}.log", say)
                        for source in image.compiled
                    ]
            say(f"making the virtual environment of {image.name}")
            self._make(image, folder, wheels.folder, compiled)
        return Built(image, str(folder / "bin" / "python"), None)

    def _make(self, image: Image, folder: Path, wheels: Path, compiled: list[Path]) -> None:
        """Without the marker it is half-made and made anew; it is never moved, for its scripts hold its path."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        python = str(folder / "bin" / "python")
        self._uv(image, "venv", "--no-project", "--no-config", "--python", interpreters.find(), str(folder))
        install = ["pip", "install", "--no-config", "--python", python, "--no-index", "--no-deps", "--compile-bytecode"]
        locked = ["--find-links", str(wheels), "--require-hashes", "-r", str(image.requirements)]
        self._uv(image, *install, *locked)
        if compiled:
            self._uv(image, *install, *map(str, compiled))
        _check([python, "-I", "-c", image.smoke], image, f"the smoke import of {image.name} failed")
        (folder / MARKER).touch()

    def _uv(self, image: Image, *words: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "VIRTUAL_ENV", "CONDA"))}
        environment |= {"UV_CACHE_DIR": str(self.work / "uv-cache"), "UV_PYTHON_DOWNLOADS": "never"}
        _check([interpreters.uv(), *words], image, f"the environment of {image.name} could not be made", environment)

    def _folder(self, image: Image) -> Path:
        return self.work / "envs" / f"{image.slug}-{image.environment_hash[:12]}-{self.python}"


def _usable(folder: Path) -> bool:
    """A marker says that it was finished, an interpreter that the Python it was made with is still there."""
    return (folder / MARKER).exists() and (folder / "bin" / "python").exists()


def _check(command: list[str], image: Image, problem: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if not done.returncode:
        return
    if "No space left on device" in done.stdout:
        raise EnvironmentProblem(
            f"the disk is full: {problem}", f"{image.name} needs about {image.disk_mb} MB (harness clean frees space)"
        )
    raise BuildFailed(problem, f"see the log; the versions are those of {image.requirements}", done.stdout)
