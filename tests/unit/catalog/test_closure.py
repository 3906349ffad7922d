"""What a step's code is: exactly the files that its entries import, whatever they do when they run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.catalog.closure import Closure, closure
from harness.matrix import keys

CATALOG = load_catalog()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A toolchain with one pass, a module that it shares and one that it does not use."""
    folder = tmp_path / "image"
    (folder / "passes").mkdir(parents=True)
    (folder / "passes" / "one.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from harness.contracts.files import write_json\n"
        "if TYPE_CHECKING:\n    import harness.stats\n"
        "def apply():\n    import shared\n    import numpy\n    from harness.contracts import values\n"
    )
    (folder / "shared.py").write_text("import json\n")
    (folder / "unused.py").write_text("")
    return folder


def test_it_holds_what_is_imported_anywhere_and_nothing_else(image: Path) -> None:
    found = closure(files=[image / "passes" / "one.py"], image=image)
    assert set(found.files) == {
        "image/passes/one.py",
        "image/shared.py",
        "harness/__init__.py",
        "harness/contracts/__init__.py",
        "harness/contracts/files.py",
        "harness/contracts/values.py",
    }


def test_its_hash_follows_the_contents_of_its_files_alone(image: Path, tmp_path: Path) -> None:
    def found() -> str:
        return closure(files=[image / "passes" / "one.py"], image=image).hash

    first = found()
    (image / "unused.py").write_text("changed = True")
    assert found() == first
    (image / "shared.py").write_text("import json  # changed\n")
    changed = found()
    assert changed != first
    image.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(image)
    assert found() == changed


def test_a_folder_that_it_was_written_to_is_told_from_one_that_was_changed(image: Path, tmp_path: Path) -> None:
    found = closure(files=[image / "passes" / "one.py"], image=image)
    found.write(tmp_path / "code")
    assert found.matches(tmp_path / "code")
    (tmp_path / "code" / "image" / "shared.py").write_text("import os")
    assert not found.matches(tmp_path / "code")
    found.write(tmp_path / "code")
    (tmp_path / "code" / "more.py").write_text("")
    assert not found.matches(tmp_path / "code")


def test_an_entry_that_is_not_there_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"harness\.worker\.nothing"):
        closure(["harness.worker.nothing"])


def closures() -> dict[str, Closure]:
    """One closure of each kind of step."""
    runtime, torch = CATALOG.runtimes["null"], CATALOG.images["toolchains/torch"]
    tool = next(tool for tool in CATALOG.passes if tool.card.name == "distill")
    prepared = [*keys.task_modules("text-classification", "prepare"), "harness.datasets.jsonl"]
    return {
        "measure": keys.runtime_code("measure", runtime.module, runtime.image, "image-classification"),
        "evaluate": keys.runtime_code("evaluate", runtime.module, runtime.image, "image-classification"),
        "prepare": keys.toolchain_code("prepare", torch, prepared),
        "compress": keys.tool_code("compress", tool.module, tool.image, "image-classification"),
    }


@pytest.mark.parametrize("kind", ["measure", "evaluate", "prepare", "compress"])
def test_a_step_starts_with_its_closure_alone(kind: str, tmp_path: Path) -> None:
    """Every module of the closure can be imported where nothing else of ours lies."""
    found = closures()[kind]
    found.write(tmp_path / "code")
    names = [place.removesuffix(".py").replace("/", ".") for place in found.files if place.startswith("harness/")]
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    program = "\n".join(f"import {name}" for name in names) + "\nimport harness\nprint(harness.__file__)"
    environment = {"PYTHONPATH": str(tmp_path / "code"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(tmp_path))


def test_a_measurement_does_not_know_what_the_model_is_for() -> None:
    found = closures()
    assert not [place for place in found["measure"].files if place.startswith("harness/tasks/")]
    assert [place for place in found["evaluate"].files if place.startswith("harness/tasks/image_classification/")]
    assert not [place for place in found["evaluate"].files if "text_" in place or place.endswith("prepare.py")]
    assert "harness/datasets/csv.py" not in found["prepare"].files


def test_nothing_that_runs_in_a_step_imports_by_a_computed_name() -> None:
    rooms = ("contracts", "tasks", "datasets", "zoo", "worker", "toolchain")
    package = Path(keys.__file__).parents[1]
    files = [file for room in rooms for file in (package / room).rglob("*.py")]
    files += package.parent.glob("images/*/*/**/*.py")
    found = [
        file for file in files if "import_module" in file.read_text("utf-8") or "__import__" in file.read_text("utf-8")
    ]
    assert [file.name for file in found] == ["loading.py"]
