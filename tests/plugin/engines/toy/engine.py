"""Two machines that are folders: inputs are copied there by their keys, code and outputs as well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from harness.catalog import Image
from harness.catalog.closure import Closure
from harness.contracts import machine, values
from harness.contracts.files import hash_tree, write_json
from harness.engines.contract import Built, Job, Limits, Outcome, Place, Say
from harness.engines.job import arguments, keep_log, metered, module
from harness.engines.transfer import Shelf
from harness.errors import EnvironmentProblem


@dataclass(frozen=True)
class Copies:
    """A transfer onto one machine's disk."""

    shelf: Shelf
    disk: Path
    busy: threading.Lock

    def stage(self, key: str) -> str:
        """A copy under the input's key, checked where it lies."""
        target = self.disk / "inputs" / key
        with self.busy:
            if not target.exists():
                shutil.copytree(self.shelf.folder(key), target)
            if hash_tree(target) != self.shelf.files(key):
                raise EnvironmentProblem(f"{key} did not arrive whole")
        return str(target)


class ToyEngine:
    """Processes of this machine, each in the folder of its own."""

    name = "toy"
    version: str | None = "1"
    isolation = "toy"
    caveats: tuple[str, ...] = ("toy engine: its machines are folders",)

    def __init__(self, work: Path) -> None:
        self.root = work.resolve().with_name("machines")
        here = machine.describe()
        self._places = tuple(
            Place(name, {"cpu": None}, replace(here, id=f"toy-{name}", name=name)) for name in ("one", "two")
        )
        self._busy = {place.name: threading.Lock() for place in self._places}

    def places(self) -> Sequence[Place]:
        return self._places

    def missing(self, image: Image, place: Place) -> bool:
        return False

    def fetch(self, image: Image, place: Place, say: Say) -> None:
        pass

    def ensure(self, image: Image, place: Place, say: Say) -> Built:
        return Built(image, sys.executable, None)

    def refresh(self, image: Image, code: Closure, place: Place, say: Say) -> Built:
        return self.ensure(image, place, say)

    def command(self, job: Job) -> str:
        return f"on {job.place.name}: {module(job.built.image)}"

    def by_hand(self, built: Built, code: Closure, limits: Limits, runtime: str, device: str) -> str:
        return f"nobody runs {runtime} by hand there"

    def run(self, job: Job, on_line: Say) -> Outcome:
        disk = self.root / job.place.name
        step, code = disk / "steps" / job.key, disk / "code" / job.code.hash
        shutil.rmtree(step, ignore_errors=True)
        step.mkdir(parents=True)
        with self._busy[job.place.name]:
            if not code.exists():
                job.code.write(code)
        copies = Copies(job.shelf, disk, self._busy[job.place.name])
        inputs = {name: copies.stage(key) for name, key in job.inputs.items()}
        write_json(step / "step.json", values.dump(job.description))
        meter, listen = metered(job, on_line)
        variables = {"PYTHONPATH": str(code), "MATRIX_IMAGE_DIR": str(code / "image"), "PYTHONDONTWRITEBYTECODE": "1"}
        words = [sys.executable, "-m", module(job.built.image), *arguments(str(step), inputs)]
        started = perf_counter()
        done = subprocess.run(
            words,
            cwd=step,
            env=variables | {"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        seconds = perf_counter() - started
        keep_log([done.stdout], job.log, job.bounds.log_bytes, listen)
        for name in ("out", "status.json"):
            found = step / name
            if found.is_dir():
                shutil.copytree(found, job.left / name)
            elif found.exists():
                shutil.copy(found, job.left)
        return Outcome(done.returncode, seconds, energy=meter.reading if meter else None)

    def kill(self) -> None:
        pass

    def reap(self) -> int:
        return 0
