"""Where a matrix lies, and where its work and its report go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.commands import workspace
from harness.errors import UsageError


@pytest.mark.parametrize("odd", ["matrix_file", "work", "out"])
def test_a_path_that_is_not_utf_8_is_one_line_before_anything_is_done(odd: str, tmp_path: Path) -> None:
    paths = {"matrix_file": tmp_path / "matrix.yaml", "work": tmp_path / ".matrix", "out": tmp_path / "reports"}
    paths[odd] = tmp_path / os.fsdecode(b"caf\xe9") / paths[odd].name
    with pytest.raises(UsageError, match="not UTF-8") as caught:
        workspace.open_(**paths, engine="host")
    caught.value.problem.encode("utf-8")
    assert list(tmp_path.iterdir()) == []
