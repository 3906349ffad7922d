"""The arrows between the rooms: what may import what, read from the code as text."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "harness"


def imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def of_room(*names: str) -> list[Path]:
    return [file for name in names for file in sorted((HARNESS / name).rglob("*.py"))]


@pytest.mark.parametrize("file", of_room("matrix", "report"), ids=lambda f: str(f.relative_to(HARNESS)))
def test_matrix_and_report_are_pure(file: Path) -> None:
    forbidden = ("docker", "harness.orchestrator", "harness.worker", "subprocess")
    assert not [name for name in imports(file) if name.startswith(forbidden)]


@pytest.mark.parametrize("file", of_room("worker", "tasks"), ids=lambda f: str(f.relative_to(HARNESS)))
def test_what_travels_into_runtime_images_is_self_contained(file: Path) -> None:
    allowed = ("harness.worker", "harness.tasks", "harness.cards")
    ours = {name for name in imports(file) if name.startswith("harness.")}
    assert not [name for name in ours if not name.startswith(allowed)]


@pytest.mark.parametrize("file", sorted(ROOT.glob("images/runtimes/*/adapter.py")), ids=lambda f: f.parent.name)
def test_an_adapter_knows_its_runtime_and_the_interface_only(file: Path) -> None:
    ours = {name for name in imports(file) if name.startswith("harness.")}
    assert not [name for name in ours if not name.startswith(("harness.cards", "harness.worker.adapter"))]


@pytest.mark.parametrize("file", of_room("toolchain", "zoo"), ids=lambda f: str(f.relative_to(HARNESS)))
def test_toolchains_know_nothing_of_who_runs_them(file: Path) -> None:
    assert not [n for n in imports(file) if n.startswith(("harness.orchestrator", "harness.matrix", "harness.report"))]
