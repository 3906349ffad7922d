"""The Python API: what the commands do, from `import harness`, which itself imports nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import harness
from harness.cli import main
from harness.errors import Exit, UsageError
from harness.matrix.expand import expand

ROOT = Path(__file__).parents[3]
FIRST = ROOT / "examples" / "first.yaml"
PUBLISHED = ROOT / "reports" / "results.json"


def test_the_package_imports_nothing_until_a_function_is_used() -> None:
    program = (
        "import sys; before = set(sys.modules); import harness; new = set(sys.modules) - before;"
        "assert new == {'harness'}, new;"
        "import harness.runner.store; names = ('load', 'plan', 'run', 'compare');"
        "functions = [getattr(harness, name) for name in names];"
        "print(*(function.__module__ + '.' + function.__name__ for function in functions))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    wanted = [f"harness.commands.api.{name}" for name in ("load", "plan", "run", "compare")]
    assert done.stdout.split() == wanted, done.stderr


def test_no_module_of_the_package_hides_a_function() -> None:
    rooms = {path.stem for path in (ROOT / "harness").iterdir()}
    assert not rooms & {"load", "plan", "run", "compare"}
    assert {"load", "plan", "run", "compare"} <= set(dir(harness))
    with pytest.raises(AttributeError, match="has no attribute 'measure'"):
        harness.measure  # type: ignore[attr-defined]  # noqa: B018


def test_a_plan_is_that_of_the_command(tmp_path: Path) -> None:
    words = ["plan", str(FIRST), "--engine", "host", "--work", str(tmp_path), "--only", "method=original", "--json"]
    told = json.loads(CliRunner().invoke(main, words).stdout)
    assert harness.plan(FIRST, engine="host", work=tmp_path, only="method=original") == told
    assert harness.plan(str(FIRST), engine="host", work=str(tmp_path), only=["method=original"]) == told


def test_a_matrix_is_loaded_with_the_cells_that_are_picked(tmp_path: Path) -> None:
    cell = "digits-cnn/original/onnxruntime/cpu/b1-i32"
    job = harness.load(FIRST, engine="host", work=tmp_path, cells=cell, machine="mine")
    assert [each.id for each in expand(job.matrix) if job.wanted(each)] == [cell]
    assert job.here.name == "mine"


def test_a_run_is_compared_with_itself() -> None:
    found = harness.compare(PUBLISHED, PUBLISHED)
    assert not found.regressed
    assert len(found.changes) == len(json.loads(PUBLISHED.read_text("utf-8"))["cells"])


def test_a_run_that_would_lose_rows_is_refused_as_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(PUBLISHED.read_bytes())
    with pytest.raises(UsageError, match="measured rows") as refused:
        harness.run(FIRST, engine="host", work=tmp_path / "work", out=tmp_path)
    assert refused.value.exit_code is Exit.USAGE
