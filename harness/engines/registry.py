"""The engines that there are: every folder below ``harness/engines/``, and below what extends its path, that states a card."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

import harness.engines
from harness.engines.contract import Engine, EngineCard, NoEngine
from harness.errors import UsageError, did_you_mean

AUTO = "auto"


def cards() -> dict[str, EngineCard]:
    """All cards by name: first those that ``auto`` may take, in its order. Raises UsageError for a folder without one."""
    found = []
    for module in pkgutil.iter_modules(harness.engines.__path__):
        if module.ispkg:
            card = getattr(importlib.import_module(f"harness.engines.{module.name}"), "CARD", None)
            if not isinstance(card, EngineCard) or card.name != module.name:
                raise UsageError(
                    f"harness/engines/{module.name}: states no CARD of that name", "see CONTRIBUTING.md, add an engine"
                )
            found.append(card)
    found.sort(key=lambda card: (card.auto is None, card.auto, card.name))
    return {card.name: card for card in found}


def names() -> list[str]:
    """What ``--engine`` takes."""
    return [AUTO, *cards()]


def choose(name: str, work: Path, options: Mapping[str, str] | None = None) -> tuple[Engine, str]:
    """The engine of that name, or for ``auto`` the first that answers, and one sentence that says why.

    An engine that is there but refuses us is an EnvironmentProblem, never a silent fallback: who installed Docker wants its
    isolation. Raises UsageError for an unknown name, NoEngine where none answers.
    """
    known = cards()
    if name != AUTO and name not in known:
        raise UsageError(f"there is no engine {name!r}", did_you_mean(name, [AUTO, *known]))
    if name != AUTO:
        answer = known[name].probe()
        told = f"{answer}; {known[name].summary}" if answer else known[name].summary
        return known[name].open(work, options or {}), f"{name} engine: asked for; {told}"
    absent: list[str] = []
    for card in known.values():
        if card.auto is None:
            continue
        try:
            answer = card.probe()
        except NoEngine as missing:
            absent.append(missing.problem)
            continue
        told = "; ".join([*absent, *([answer] if answer else []), card.summary])
        return card.open(work, options or {}), f"{card.name} engine: {told}"
    raise NoEngine(f"no engine answers: {'; '.join(absent)}", f"name one with --engine: {', '.join(known)}")


def first_choice(name: str) -> bool:
    """Whether an engine is the one that ``auto`` prefers to all others."""
    return name == next(iter(cards()))
