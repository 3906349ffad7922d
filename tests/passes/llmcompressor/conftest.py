"""The checkpoint that this toolchain's passes are for: a language model with a tied head."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.contracts.artifact import Artifact
from tests.passes import tiny


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return tiny.checkpoint(tiny.LANGUAGE, tmp_path)
