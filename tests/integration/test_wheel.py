"""The wheel works where there is no checkout: in an empty folder, in another environment, with a plug-in beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from harness import __version__
from harness.catalog import load_catalog

pytestmark = pytest.mark.network  # building takes hatchling from the package index

ROOT = Path(__file__).parents[2]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
PLUGIN = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "matrix-plugin-tiny"
        version = "1.0"
        [project.entry-points."compression_matrix.plugins"]
        tiny = "matrix_plugin_tiny"
        """,
    "matrix_plugin_tiny/__init__.py": "",
    "matrix_plugin_tiny/images/runtimes/tiny/requirements.txt": "numpy==2.4.6\n",
    "matrix_plugin_tiny/images/runtimes/tiny/image.yaml": """
        summary: a runtime from elsewhere
        packages: [numpy==2.4.6]
        smoke: import numpy
        disk_mb: 50
        build_s: 5
        """,
    "matrix_plugin_tiny/images/runtimes/tiny/adapter.py": """
        from harness.contracts.cards import Form, RuntimeCard
        CARDS = (
            RuntimeCard(
                name="tiny",
                summary="a runtime from elsewhere",
                loads=(Form("onnx", "fp32"),),
                devices=("cpu",),
                source="https://example.org",
                calls=("forward",),
                modalities=("image",),
                distributions=("numpy",),
            ),
        )
        """,
}


def pip(*words: str | Path) -> None:
    command = [sys.executable, "-m", "pip", *map(str, words), "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": ""})


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the project's wheel. Its dependencies are those of this environment, which holds no other copy of us.

    CI installs the wheel with its dependencies, see .ci/run.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ROOT, "--wheel-dir", folder)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    made = folder / "env" / "bin" / "python"
    pip("--python", made, "install", "--no-index", wheel)
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{Path(click.__file__).parents[1]}\n")
    return made


@pytest.fixture
def command(python: Path, tmp_path: Path) -> Command:
    """Run the command that the wheel installs, in an empty folder."""
    environment = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "MATRIX_IMAGES")}

    def run(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [python.with_name("harness"), *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done

    return run


def test_a_matrix_is_written_planned_and_checked_by_its_schema(command: Command, tmp_path: Path) -> None:
    assert command("--version").stdout == f"harness, version {__version__}\n"
    command("init")
    schema = tmp_path / "matrix.schema.json"
    assert f"$schema={schema.name}" in (tmp_path / "matrix.yaml").read_text("utf-8")
    assert json.loads(schema.read_text("utf-8")) == json.loads(command("schema").stdout)
    planned = json.loads(command("plan", "--engine", "venv", "--json").stdout)
    assert [cell["status"] for cell in planned["cells"]] == ["to run"] * 4
    assert "toolchains/torch" in planned["images_to_build"]


def test_doctor_knows_the_runtimes(command: Command) -> None:
    found = json.loads(command("doctor", "--engine", "venv", "--json").stdout)
    assert {"onnxruntime", "pytorch", "toolchains/torch"} <= {finding["subject"] for finding in found}


def test_a_report_is_drawn_from_results(command: Command, tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    shutil.copy(ROOT / "reports" / "results.json", tmp_path / "reports")
    command("report")
    assert "<html" in (tmp_path / "reports" / "index.html").read_text("utf-8")


def test_images_hash_as_in_the_checkout(python: Path, tmp_path: Path) -> None:
    program = (
        "import json; from harness.catalog import load_catalog, places; assert places.checkout() is None;"
        "print(json.dumps({name: image.environment_hash for name, image in load_catalog().images.items()}))"
    )
    done = subprocess.run([python, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: image.environment_hash for name, image in load_catalog().images.items()}


def test_the_package_is_typed_and_runs_as_a_module(python: Path, tmp_path: Path) -> None:
    done = subprocess.run([python, "-I", "-m", "harness", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == f"harness, version {__version__}\n"
    (package,) = python.parents[1].glob("lib/python*/site-packages/harness")
    assert (package / "py.typed").exists()
    assert (package / "__init__.pyi").exists()


def test_a_runtime_of_an_installed_plug_in_is_planned(command: Command, python: Path, tmp_path: Path) -> None:
    source = tmp_path / "plugin"
    for name, text in PLUGIN.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(textwrap.dedent(text))
    pip("wheel", source, "--wheel-dir", tmp_path)
    command("init")
    file = tmp_path / "matrix.yaml"
    file.write_text(file.read_text("utf-8").replace("[pytorch, onnxruntime]", "[pytorch, tiny]"), "utf-8")
    assert "tiny" in command("plan", "--engine", "venv", code=2).stderr
    pip("--python", python, "install", "--no-index", *tmp_path.glob("*.whl"))
    try:
        planned = json.loads(command("plan", "--engine", "venv", "--json").stdout)
    finally:
        pip_uninstall(python, "matrix-plugin-tiny")
    cells = {cell["id"]: cell["status"] for cell in planned["cells"]}
    assert cells["digits-cnn/original/tiny/cpu/b1-i32"] == "to run"
    assert "runtimes/tiny" in planned["images_to_build"]


def pip_uninstall(python: Path, name: str) -> None:
    words = ["--python", str(python), "uninstall", "--yes", "--quiet", name]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
