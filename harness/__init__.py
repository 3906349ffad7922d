"""Compression Matrix: compressed models × runtimes, measured honestly, in one table.

``harness.load``, ``harness.plan``, ``harness.run`` and ``harness.compare`` do what the commands of these names do. They are
loaded when they are first used: this file travels into every container, so it imports nothing.
"""

__version__ = "0.1.0"

_API = ("load", "plan", "run", "compare")


def __getattr__(name: str) -> object:
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("harness.commands.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
