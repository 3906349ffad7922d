"""What is fuzzed. A target is one entry: good inputs, how they are spoiled, what reads them, and how it may refuse.

Each file of ``tests/fuzz/targets/`` states ``TARGETS``, a tuple of :class:`Target`; nothing else has to be edited::

    TARGETS = (
        Target("wheel", (GOOD_WHEEL,), mutated((GOOD_WHEEL,), PIECES), read_wheel, (SourceError,)),
    )

``read`` gets one input and an empty folder. It must return, or raise one of ``refusals``, within the bounds of
``worker.py`` on time and memory. Anything else that it raises is a finding. ``nox -s fuzz`` runs all targets, and
``tests/unit/test_fuzz.py`` runs some inputs of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from hypothesis.strategies import SearchStrategy

FOLDER = Path(__file__).parent / "targets"


@dataclass(frozen=True)
class Target:
    """Something that reads what others wrote."""

    name: str
    seeds: tuple[bytes, ...]  # good inputs, which ``read`` takes without refusing them
    inputs: SearchStrategy[bytes]
    read: Callable[[bytes, Path], object]
    refusals: tuple[type[Exception], ...]
    weight: float = 1.0  # its share of a run's inputs, against that of the others


def targets() -> dict[str, Target]:
    """All targets by name, found in ``targets/``. Raises ValueError where two have one name."""
    found: dict[str, Target] = {}
    for file in sorted(FOLDER.glob("*.py")):
        for target in import_module(f"tests.fuzz.targets.{file.stem}").TARGETS:
            if target.name in found:
                raise ValueError(f"{file.name}: another target is called {target.name!r}")
            found[target.name] = target
    return found
