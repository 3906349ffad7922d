"""A small matrix through the real command line, struck by a fault, and what must hold afterwards.

The checkout is ours but for its images: the ``null`` runtime, and a toolchain that prepares with NumPy alone. So a run takes
seconds with any engine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
IMAGE = 'summary: a test\npackages: [numpy==2.4.6, psutil==7.2.2]\nsmoke: "import numpy, psutil"\ndisk_mb: 110\nbuild_s: 10\n'
MATRIX = """
models: [{name: toy, source: "path:./model", task: toy-images, dataset: "path:./images.npz"}]
methods: [original]
runtimes: ["null"]
workloads: {toy-images: [{batch: 1, image_size: 8}, {batch: 2, image_size: 8}]}
measure: {rounds: 2, extra_rounds: 0, min_seconds: SECONDS, max_seconds: SECONDS}
limits: {cpus: 1, memory: 512MiB, timeout: TIMEOUT}
report: {baseline: {runtime: "null"}}
"""
#: A workload of two rows does what the model's configuration says.
RUN = '        """Zero logits."""\n        first = next(iter(inputs.values()))\n'
MISBEHAVE = """
        if self.fault and len(first) == 2:
            exec(self.fault)
"""
LOAD = "        self.width: int = config["
#: In place of the step that loads a checkpoint with PyTorch: this one takes it as it is.
NORMALIZE = '''"""The step that takes a checkpoint as it is."""

import shutil

from harness.contracts.artifact import Made
from harness.contracts.cards import Form
from harness.toolchain.artifacts import finish, read_artifact


def run(spec, out, context):
    source = read_artifact(context.inputs["artifact"])
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source.path / name, out)
    finish(source.manifest, Form("hf", "fp32"), Made(["model.safetensors"]), out)
'''


def lay_out_checkout(folder: Path) -> Path:
    """The package with these images and the task of toys."""
    ignored = shutil.ignore_patterns("__pycache__", "locale.pyc")
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=ignored)
    adapter = folder / "images" / "runtimes" / "null" / "adapter.py"
    shutil.copytree(ROOT / "tests" / "plugin" / "tasks" / "toy_images", folder / "harness" / "tasks" / "toy_images")
    (folder / "harness" / "toolchain" / "steps" / "normalize.py").write_text(NORMALIZE, "utf-8")
    for name in ("base", "runtimes/null"):
        shutil.copytree(ROOT / "images" / name, folder / "images" / name, ignore=ignored)
    shutil.copy(ROOT / "images" / "Dockerfile", folder / "images")
    shutil.copy(ROOT / "images" / "Dockerfile.hand", folder / "images")
    adapter.write_text(
        adapter.read_text("utf-8")
        .replace(RUN, RUN + MISBEHAVE)
        .replace(LOAD, '        self.fault = config.get("fault")\n' + LOAD),
        "utf-8",
    )
    toolchain = folder / "images" / "toolchains" / "torch"
    toolchain.mkdir(parents=True)
    (toolchain / "image.yaml").write_text(IMAGE)
    shutil.copy(ROOT / "images" / "runtimes" / "null" / "requirements.txt", toolchain)
    return folder


@dataclass
class Project:
    """A matrix in a folder of its own; its runs are processes of their own."""

    checkout: Path
    folder: Path
    engine: str
    environment: Mapping[str, str] = field(default_factory=dict)
    work: Path | None = None  # where the store lies, if not in the folder

    def lay_out(self, *, seconds: float = 0.1, timeout: str = "60s", fault: str = "") -> Project:
        """A model of one number, and sixty-four images. ``fault`` is run in the worker, by the cell of batch two."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        text = MATRIX.replace("SECONDS", str(seconds)).replace("TIMEOUT", timeout)
        (self.folder / "matrix.yaml").write_text(text)
        model = self.folder / "model"
        model.mkdir()
        config = {"id2label": {"0": "a", "1": "b"}, "image_size": 8, "num_channels": 1, "model_type": "resnet"}
        config |= {"fault": fault} if fault else {}
        (model / "config.json").write_text(json.dumps(config))
        header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        (model / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\x80?")
        images = np.random.default_rng(0).integers(0, 255, (64, 8, 8)).astype(np.uint8)
        np.savez(self.folder / "images.npz", images=images, labels=np.arange(64) % 2)
        return self

    @property
    def store(self) -> Path:
        """The work folder."""
        return self.work or self.folder / ".matrix"

    def words(self, *arguments: str) -> list[str]:
        """A command line of the harness."""
        where = ["--work", str(self.work)] if self.work else []
        return [sys.executable, "-m", "harness", *arguments, "--engine", self.engine, *where]

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a run."""
        return {**os.environ, "PYTHONPATH": str(self.checkout), **self.environment}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        words = self.words(*(arguments or ("run", "--progress", "plain")))
        return subprocess.run(
            words, cwd=self.folder, env=self.variables | environment, capture_output=True, text=True, timeout=600
        )

    def start(self, *arguments: str, **environment: str) -> Running:
        """Begin a run."""
        words = self.words(*(arguments or ("run", "--progress", "json")))
        return Running(self, words, self.variables | environment)

    def measured(self) -> dict[str, tuple[str, int]]:
        """What is in the store: of every finished step the hash and the time of what it left."""
        found = {}
        for receipt in self.store.glob("steps/??/*/receipt.json"):
            record = receipt.parent / "out" / "record.json"
            kept = record if record.exists() else receipt
            found[receipt.parent.name] = (hashlib.sha256(kept.read_bytes()).hexdigest(), kept.stat().st_mtime_ns)
        return found

    def cells(self) -> list[dict[str, Any]]:
        """The rows of the report."""
        return list(json.loads((self.folder / "reports" / "results.json").read_text("utf-8"))["cells"])

    def finishes(self, before: Mapping[str, tuple[str, int]]) -> int:
        """The next run ends well and has all rows; how many finished steps were lost or made twice."""
        done = self.run()
        assert done.returncode == 0, done.stderr
        assert [cell["status"] for cell in self.cells()] == ["ok"] * 2
        after = self.measured()
        return sum(after.get(key) != found for key, found in before.items())


class Running:
    """A run under way; its events are read as they come."""

    def __init__(self, project: Project, words: list[str], environment: Mapping[str, str]) -> None:
        self.project = project
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            words, cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def wait_for(self, event: str, times: int = 1, **fields: str) -> None:
        """Wait for an event, such as a step of a kind, so many times."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("{"):
                told = json.loads(line)
                times -= told["event"] == event and all(
                    str(told.get(key, "")).startswith(fields[key]) for key in fields
                )
                if not times:
                    return
        raise AssertionError(f"ended before {event} {fields}: {''.join(self.lines)}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the run alone."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for its end: the exit code as a shell has it, and what it said.

        CPython ends by SIGINT where that came while it compiled a text, even if the exception was handled.
        """
        _, rest = self.process.communicate(timeout=PATIENCE_S)
        self.lines.append(rest)
        code = self.process.returncode
        return code if code >= 0 else 128 - code, "".join(self.lines)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something."""
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, f"waited in vain: {what}"
        time.sleep(0.02)


@dataclass
class Tally:
    """One line of the table of faults: appended to the file that MATRIX_FAULTS names."""

    fault: str
    engine: str
    tries: int = 0
    survived: int = 0
    lost: int = 0

    def note(self, lost: int) -> None:
        """One try, after which that many finished steps were lost or made twice."""
        self.tries += 1
        self.lost += lost
        self.survived += not lost

    def write(self) -> None:
        """Append the line."""
        if file := os.environ.get("MATRIX_FAULTS"):
            with Path(file).open("a", encoding="utf-8") as stream:
                line = {name: getattr(self, name) for name in ("fault", "engine", "tries", "survived", "lost")}
                stream.write(json.dumps(line) + "\n")
