"""The venv engine: one virtual environment per image, from the same lock file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.engines.contract import Engine, EngineCard


def _open(work: Path, options: Mapping[str, str]) -> Engine:
    from harness.engines.venv.engine import VenvEngine

    return VenvEngine(work, options.get("machine"))


CARD = EngineCard("venv", "steps run in virtual environments, with weaker limits", _open, auto=20)
