"""The self-test, in a store that is this process's alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import results, terminal
from harness.catalog import plugins
from harness.commands.workspace import options_of
from harness.engines import registry
from harness.runner import selftest
from harness.runner.store import Store


def run(
    work: Path, engine: str, repeats: int, seed: int, images: Sequence[Path] = (), machine: str | None = None
) -> results.SelfTest:
    """Hold what the harness finds against what is known. ``machine`` names this machine in the results.

    Raises EnvironmentProblem where the engine cannot be used, UsageError where another process has the store.
    """
    chosen, reason = registry.choose(engine, work, options_of(machine))
    terminal.say(reason)
    store = Store(work)
    lock = store.lock()
    try:
        return selftest.run(plugins.load(images), chosen, store, repeats, seed, terminal.say)
    finally:
        lock.release()
