"""The host engine: the current interpreter, for notebooks and for GPU machines without Docker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.engines.contract import Engine, EngineCard


def _open(work: Path, options: Mapping[str, str]) -> Engine:
    from harness.engines.host.engine import HostEngine

    return HostEngine(work, options.get("machine"))


CARD = EngineCard("host", "steps run in the current Python", _open)
