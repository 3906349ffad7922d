"""Our own code where steps run: copies of exactly the files that a step depends on, laid over an environment at run time."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import py_compile
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from harness.catalog.closure import Closure
from harness.contracts.files import hash_tree, write_json
from harness.errors import EnvironmentProblem

COMPILE_S = 120

#: Compiles all Python files below a folder for the interpreter that will run them.
Compiler = Callable[[Path], None]


class CodeRoom:
    """``work/code``: closures as folders, each under its hash and the Python that it is compiled for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def lay_out(self, closure: Closure, python: str, compile_: Compiler) -> Path:
        """The folder that holds exactly this closure, made where it is not there or is not what it was.

        It is checked every time: the code that a step runs hashes to its closure, and the byte code beside it is what was
        compiled from it. ``python`` names the interpreter, such as ``cp311``. Raises EnvironmentProblem where the sources
        are no longer what the closure was made from.
        """
        target = self.folder / f"{closure.hash[:24]}-{python}"
        with self._lock:
            if not _is(target, closure):
                self._make(target, closure, compile_)
        return target

    def _make(self, target: Path, closure: Closure, compile_: Compiler) -> None:
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(target, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        closure.write(partial)
        compile_(partial)
        for file in partial.rglob("*"):
            if file.is_file():
                file.chmod(0o444)
        write_json(_seal(target), hash_tree(partial))
        partial.rename(target)
        if not _is(target, closure):
            raise EnvironmentProblem(
                "the code of the harness or of an image was changed after the plan was made",
                "run the same command again",
            )


def _seal(folder: Path) -> Path:
    """Where the hashes of a folder's files lie: beside it, for what runs in the folder must not change them."""
    return folder.with_name(f"{folder.name}.json")


def _is(folder: Path, closure: Closure) -> bool:
    try:
        sealed = json.loads(_seal(folder).read_bytes())
        return bool(hash_tree(folder) == sealed) and closure.matches(folder)
    except (OSError, ValueError):
        return False


def compile_here(folder: Path) -> None:
    """Compile for this interpreter. The byte code is used without a look at its source: ``lay_out`` has looked."""
    for file in folder.rglob("*.py"):
        cache = importlib.util.cache_from_source(str(file))
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(file), cache, dfile=file.relative_to(folder).as_posix(), invalidation_mode=mode, quiet=2)


def compile_by(python: str) -> Compiler:
    """A compiler that has another interpreter do it; what does not compile is left for the step to tell."""
    if python == sys.executable:
        return compile_here

    def compile_(folder: Path) -> None:
        command = [python, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, check=False, timeout=COMPILE_S)

    return compile_
