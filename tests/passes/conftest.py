"""Passes and exporters, run as the runner runs them: on what :mod:`tests.passes.tiny` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.passes.steps import Steps


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(tmp_path, monkeypatch)
