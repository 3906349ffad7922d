"""The arrows between the rooms of the package: who may import whom, read from the source.

A room is a folder or a module directly below ``harness/``. Imports inside functions count; those for type checking do not run.
Adapters, passes and exporters are plugins: loaded by name, they know the room that runs them.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "harness"
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Dotted names of all modules (and of what is taken from them) that a file imports when it runs."""
    pending: list[ast.AST] = [ast.parse(file.read_text("utf-8"))]
    while pending:
        node = pending.pop()
        match node:
            case ast.Import():
                yield from (name.name for name in node.names)
            case ast.ImportFrom():
                yield from (f"{node.module}.{name.name}" for name in node.names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pending.extend(node.orelse)
            case _:
                pending.extend(ast.iter_child_nodes(node))


def room(name: str) -> str | None:
    """The room that a dotted name lies in; None outside the package and for the package's own version."""
    parts = name.split(".")
    return parts[1] if parts[0] == "harness" and len(parts) > 1 and parts[1] != "__version__" else None


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms(files: list[Path]) -> set[str]:
    return {found for file in files for name in imported(file) if (found := room(name))}


def files_of(name: str) -> list[Path]:
    return [file for file in FILES if file.is_relative_to(PACKAGE / name)]


#: The rooms from bottom to top. A room imports rooms of lower lines; of its own line only itself and what NEIGHBOURS allows.
LAYERS = (
    {"redaction", "untrusted_text", "terminal"},
    {"errors", "stats", "contracts", "results"},
    {"tasks", "datasets", "zoo"},
    {"worker", "toolchain", "catalog"},
    {"matrix"},
    {"provision", "sources"},
    {"engines"},
    {"runner"},
    {"collect", "report"},
    {"commands"},
    {"cli"},
)
#: What runs inside an image knows less than its line allows: (room, all that it may import).
INSIDE = {
    "contracts": {"contracts"},
    "tasks": {"contracts", "tasks"},
    "datasets": {"contracts", "datasets"},
    "zoo": {"contracts", "tasks", "zoo"},
    "worker": {"contracts", "tasks", "worker"},
    "toolchain": {"contracts", "tasks", "datasets", "zoo", "toolchain"},
    "report": {"report", "errors", "results", "stats", "untrusted_text"},
}
NEIGHBOURS = {("zoo", "tasks"), ("results", "stats"), ("results", "errors"), ("terminal", "untrusted_text")}


def test_every_room_has_its_line() -> None:
    there = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in FILES}
    assert there - {"__init__", "__main__"} == set().union(*LAYERS)


@pytest.mark.parametrize("name", sorted(set().union(*LAYERS)))
def test_a_room_imports_only_what_lies_below_it(name: str) -> None:
    line = next(number for number, rooms_ in enumerate(LAYERS) if name in rooms_)
    below = set().union(*LAYERS[:line]) | {name} | {other for room_, other in NEIGHBOURS if room_ == name}
    found = rooms(files_of(name) or [PACKAGE / f"{name}.py"])
    assert found <= INSIDE.get(name, below) & below


@pytest.mark.parametrize(
    "folder", sorted({file.parent for file in FILES}), ids=lambda f: f.relative_to(ROOT).as_posix()
)
def test_no_folder_holds_more_than_a_dozen_modules(folder: Path) -> None:
    assert len([file for file in folder.glob("*.py") if file.stem not in ("__init__", "__main__")]) <= 12


@pytest.mark.parametrize("name", ["matrix", "report", "worker", "toolchain", "tasks", "zoo"])
def test_only_engines_and_provision_know_docker(name: str) -> None:
    assert not {module for file in files_of(name) for module in imported(file) if module.split(".")[0] == "docker"}


@pytest.mark.parametrize("file", sorted(ROOT.glob("images/runtimes/*/adapter.py")), ids=lambda file: file.parent.name)
def test_an_adapter_knows_the_cards_its_own_interface_and_the_loader_only(file: Path) -> None:
    known = tuple(f"harness.contracts.{name}." for name in ("artifact", "cards", "adapter", "checkpoint", "loading"))
    assert all(name.startswith(known) for name in imported(file) if room(name))


@pytest.mark.parametrize("file", sorted(ROOT.glob("images/toolchains/*/*/*.py")), ids=lambda file: file.stem)
def test_a_tool_knows_the_cards_and_the_toolchain_only(file: Path) -> None:
    assert rooms([file]) <= {"contracts", "toolchain"}


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if room_of(file) in ("tasks", "worker", "contracts")],
    ids=lambda file: file.relative_to(PACKAGE).as_posix(),
)
def test_what_travels_into_runtimes_needs_numpy_and_psutil_at_most(file: Path) -> None:
    top = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {
        name.split(".")[0]
        for node in top
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert names - sys.stdlib_module_names <= {"harness", "numpy", "psutil"}


def test_no_two_rooms_import_each_other() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for file in FILES:
        here = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        arrows[here] |= rooms([file]) - {here}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' -> '.join(error.args[1])}")


def module(name: str) -> Path | None:
    """The file of a dotted name, or of the module that it is taken from; None outside the package."""
    path = ROOT.joinpath(*name.split("."))
    for place in (path, path.parent):
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file in FILES:
                return file
    return None


def test_no_two_files_import_each_other() -> None:
    arrows = {file: {found for name in imported(file) if (found := module(name))} - {file} for file in FILES}
    arrows.pop(PACKAGE / "__init__.py")  # it hands out the Python API when asked for it
    assert sum(map(len, arrows.values())) > len(FILES)
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' -> '.join(str(file.relative_to(ROOT)) for file in error.args[1])}")


def test_no_two_classes_share_a_name() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].add(file.relative_to(ROOT).as_posix())
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


def test_the_rooms_of_the_report_form_no_circle() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for file in files_of("report"):
        here = file.relative_to(PACKAGE / "report").parts[0].removesuffix(".py")
        there = {name.split(".")[2] for name in imported(file) if name.startswith("harness.report.")}
        arrows[here] |= there - {here}
    assert arrows.keys() >= {"language", "table", "charts", "history", "html", "files"}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' -> '.join(error.args[1])}")
