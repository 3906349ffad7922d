"""Every pass and every exporter has a test: some module in ``tests/passes/<toolchain>/`` imports it.

Those tests run in the locked environment of their toolchain, which this one does not have: their imports are read, not run.
The tests of a variant of a toolchain lie in ``tests/passes/<toolchain>.<variant>/``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = ("passes", "exporters")

#: What no environment can be installed for from PyPI, and why.
UNTESTED = {
    "tensorrt/exporters/tensorrt": "its libraries lie in NVIDIA's own package index, and it builds engines on a GPU only; "
    "tests/passes/tensorrt.rtx tests the builder that it shares with tensorrt_rtx",
}


def modules(toolchains: Path) -> list[str]:
    """Every pass and exporter, as ``<toolchain>/<kind>/<module>``."""
    files = [file for kind in KINDS for file in toolchains.glob(f"*/{kind}/*.py")]
    return sorted(str(file.relative_to(toolchains).with_suffix("")) for file in files if file.stem != "__init__")


def imported(file: Path) -> Iterator[str]:
    """Dotted names of the modules, and of what is taken from them, that a file imports, in functions too."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        match node:
            case ast.Import():
                yield from (name.name for name in node.names)
            case ast.ImportFrom(module=str(module)):
                yield module
                yield from (f"{module}.{name.name}" for name in node.names)


@cache
def with_a_test(tests: Path) -> set[str]:
    """The passes and exporters that the tests of their toolchain import, as :func:`modules` writes them."""
    found = set()
    for file in tests.glob("*/test_*.py"):
        toolchain = file.parent.name.partition(".")[0]
        names = (name.split(".") for name in imported(file))
        found |= {f"{toolchain}/{parts[0]}/{parts[1]}" for parts in names if len(parts) > 1 and parts[0] in KINDS}
    return found


@pytest.mark.parametrize("module", modules(ROOT / "images/toolchains"))
def test_a_test_of_its_toolchain_imports_the_module(module: str) -> None:
    if module in UNTESTED:
        assert module not in with_a_test(ROOT / "tests/passes"), f"{module} is tested: take it off the list"
        return
    toolchain = module.partition("/")[0]
    assert module in with_a_test(ROOT / "tests/passes"), f"no test module in tests/passes/{toolchain}/ imports {module}"


def test_what_is_left_out_exists() -> None:
    assert set(UNTESTED) <= set(modules(ROOT / "images/toolchains"))


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("from passes import int4", True),
        ("from passes.int4 import apply", True),
        ("def test() -> None:\n    from passes import gptq, int4", True),
        ("import passes.int4", True),
        ("from exporters import int4", False),
        ("import int4", False),
        ("'from passes import int4'", False),
    ],
)
def test_only_an_import_of_the_module_counts(source: str, counts: bool, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/test_it.py").write_text(source, "utf-8")
    assert ("torch/passes/int4" in with_a_test(tmp_path)) is counts


def test_a_test_counts_for_its_own_toolchain_and_a_variants_for_the_toolchain(tmp_path: Path) -> None:
    for folder, name in (("torch", "fp16"), ("tensorrt.rtx", "int8_static")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_it.py").write_text(f"from passes import {name}", "utf-8")
    assert with_a_test(tmp_path) == {"torch/passes/fp16", "tensorrt/passes/int8_static"}


def test_a_new_pass_is_found(tmp_path: Path) -> None:
    (tmp_path / "new/passes").mkdir(parents=True)
    (tmp_path / "new/passes/halve.py").touch()
    (tmp_path / "new/helper.py").touch()
    assert modules(tmp_path) == ["new/passes/halve"]
