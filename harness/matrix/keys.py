"""A step's key: what its output depends on, hashed. Same key: nothing runs.

A key holds the kind of step, its spec, the keys of its inputs, the environment that it runs in (lock file, Dockerfile, base,
compiled packages) and the closure of the modules that it enters by. A measurement's key holds the machine, too. Everything
else may change without a step being made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness import tasks
from harness.catalog import Image
from harness.catalog.closure import Closure, closure
from harness.contracts.step import MachineName

FETCH_LAYOUT = 2  # raise it when fetching comes to lay out folders differently

#: Steps whose output is the same however many CPUs make it.
_ANY_CPUS = frozenset({"fetch", "prepare", "export"})


def key_of(
    kind: str,
    spec: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    environment: str,
    code: Closure | None,
    machine: MachineName | None,
    cpus: int,
    seed: int,
) -> str:
    """SHA-256 in hexadecimal; ``environment`` is the image's hash, or what stands for it in a fetch."""
    identity = {
        "kind": kind,
        "spec": spec,
        "inputs": inputs,
        "environment": environment,
        "closure": code.hash if code else None,
        "machine": machine.id if machine else None,
        "cpus": None if kind in _ANY_CPUS else cpus,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


# --- the modules that each kind of step enters by ------------------------------------------------------------------------


def runtime_code(kind: str, adapter: Path, image: Image, task: str | None) -> Closure:
    """Of a ``measure`` or ``evaluate`` step: only an evaluation knows what the model is for."""
    entries = ["harness.worker.__main__", f"harness.worker.{kind}"]
    if kind == "evaluate" and task:
        entries += task_modules(task, "score")
    return _closure(tuple(entries), (adapter,), image.path)


def tool_code(kind: str, module: Path, image: Image, task: str | None) -> Closure:
    """Of a ``compress`` or ``export`` step; ``task`` where it reads prepared rows of that task."""
    entries = ["harness.toolchain.__main__", f"harness.toolchain.steps.{kind}"]
    entries += task_modules(task, "score") if task else []
    return _closure(tuple(entries), (module,), image.path)


def toolchain_code(kind: str, image: Image, entries: Iterable[str]) -> Closure:
    """Of a ``prepare`` or ``train`` step, with what it loads by name."""
    return _closure(("harness.toolchain.__main__", f"harness.toolchain.steps.{kind}", *entries), (), image.path)


def hand_code(image: Image, names: Sequence[str], modules: Sequence[Path]) -> Closure:
    """All that an image may need when it is run by hand: every kind of step, every task, every module of its folder."""
    if image.kind == "runtimes":
        entries = [
            "harness.worker.__main__",
            "harness.worker.by_hand",
            "harness.worker.measure",
            "harness.worker.evaluate",
        ]
    else:
        entries = ["harness.toolchain.__main__", "harness.toolchain.steps.compress", "harness.toolchain.steps.export"]
    for task in names:
        entries += task_modules(task, "score")
    return _closure(tuple(entries), tuple(modules), image.path)


def task_modules(task: str, *parts: str) -> list[str]:
    """Those modules of a task that a step loads by name: of ``task``, ``prepare`` and ``score``."""
    return [tasks.module_of(task, part) for part in parts]


@cache  # the cells of a matrix share a few dozen closures
def _closure(entries: tuple[str, ...], files: tuple[Path, ...], image: Path) -> Closure:
    return closure(entries, files, image)
