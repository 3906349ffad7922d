"""Jobs for the tests of engines: each in folders of its own."""

from __future__ import annotations

import time
from pathlib import Path

from harness.catalog import load_catalog
from harness.catalog.closure import Closure, closure
from harness.contracts.step import StepDescription
from harness.engines.bounds import Bounds
from harness.engines.contract import Built, Engine, Job, Limits
from harness.engines.host.engine import HostEngine
from harness.engines.transfer import PlainShelf

NULL = load_catalog().images["runtimes/null"]
CODE = closure(["harness.worker.__main__"], [NULL.path / "adapter.py"], NULL.path)


def kept(tmp_path: Path) -> str:
    """The log."""
    return (tmp_path / "log.txt").read_text("utf-8")


def job(tmp_path: Path, script: str, timeout_s: float = 60) -> Job:
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\n[ "$1" = -I ] && exit  # asked to compile\n{script}\n')
    interpreter.chmod(0o755)
    built = Built(NULL, str(interpreter), None)
    return job_of(tmp_path, built, {"artifact": tmp_path / "input"}, HostEngine(tmp_path / "work"), timeout_s)


def program(main: Path) -> Closure:
    """A program in place of the worker."""
    empty = main.with_name("empty.py")
    empty.touch()
    return Closure(
        {"harness/__init__.py": empty, "harness/worker/__init__.py": empty, "harness/worker/__main__.py": main}
    )


def job_of(
    tmp_path: Path, built: Built, inputs: dict[str, Path], engine: Engine, timeout_s: float = 60, code: Closure = CODE
) -> Job:
    """A job in a folder of its own; its inputs are folders under their own names."""
    left = tmp_path / "scratch" / str(len(list(tmp_path.glob("scratch/*")))) / "left"
    left.mkdir(parents=True)
    for folder in inputs.values():
        folder.mkdir(exist_ok=True)
    return Job(
        key="key",
        built=built,
        code=code,
        description=StepDescription("measure", {"runtime": "null", "device": "cpu"}, 0, 1),
        inputs={name: name for name in inputs},
        shelf=PlainShelf(inputs),
        left=left,
        log=tmp_path / "log.txt",
        limits=Limits(cpus=1, memory_bytes=2**30, timeout_s=timeout_s),
        place=engine.places()[0],
        bounds=Bounds(),
    )


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text("utf-8"):
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
