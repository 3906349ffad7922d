"""A toy engine: two machines that see nothing of this disk. Each is a folder, and processes that know only that folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.engines.contract import Engine, EngineCard


def _open(work: Path, options: Mapping[str, str]) -> Engine:
    from harness.engines.toy.engine import ToyEngine

    return ToyEngine(work)


CARD = EngineCard("toy", "steps run on two machines that are folders", _open)
