"""A task is one folder: one that nothing knows runs from the matrix to the report, on three runtimes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.catalog import load_catalog, places, plugins
from harness.commands import run as running
from harness.commands.workspace import Workspace
from harness.engines import registry
from harness.errors import Exit, HarnessError
from harness.matrix import load
from harness.results import Results, Status
from harness.runner.store import Store
from tests.toy_task import lay_out, write_words

#: Three runtimes of one folder. What they know of a model is how it is called and what it takes in.
ADAPTER = """
from dataclasses import replace

import numpy as np

from harness.contracts.cards import Form, RuntimeCard

PLAIN = RuntimeCard(
    "pytorch", "counts letters in float64", (Form("hf"),), ("cpu",), "https://example.org",
    calls=("forward",), modalities=("text",),
)
CARDS = (PLAIN, replace(PLAIN, name="single", mode="float32"), replace(PLAIN, name="half", mode="float16"))


class Adapter:
    def __init__(self, device, threads, mode):
        self.type = np.dtype(mode or "float64")

    def load(self, artifact, manifest):
        assert str(manifest.use) == "forward over text"
        self.weights = np.load(artifact / "weights.npz")["weights"].astype(self.type)

    def run(self, inputs):
        counts = np.stack([np.bincount(ids, minlength=27) for ids in inputs["input_ids"]])
        return {"logits": (counts.astype(self.type) @ self.weights).astype(np.float32)}

    def precision(self):
        return f"fp{8 * self.type.itemsize}"

    def close(self):
        self.weights = None
"""
IMAGE = "summary: a test\npackages: [numpy==2.4.6]\nsmoke: import numpy\ndisk_mb: 1\nbuild_s: 1\n"
MATRIX = """
models:
  - {name: counting, source: "zoo:counting-vowels", task: top-vowel, dataset: "zoo:vowels"}
  - {name: with-my-data, source: "zoo:counting-vowels", task: top-vowel, dataset: "path:./my-words"}
methods: [original]
runtimes: [%s]
workloads: {top-vowel: [{batch: 2}]}
measure: {rounds: 1, extra_rounds: 0, min_samples: 5, min_seconds: 0, max_seconds: 0.05}
limits: {cpus: 1, memory: 1GiB}
"""
PACKAGES = tuple(plugins.PACKAGES.values())


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """The plug-in's folder, its modules found below our packages while a test runs."""
    before = {name: list(importlib.import_module(name).__path__) for name in PACKAGES}
    folder = lay_out(tmp_path / "plugin")
    plugins.extend(folder)
    yield folder
    for name, path in before.items():
        importlib.import_module(name).__path__[:] = path


def images(folder: Path) -> Path:
    """A tree with the one toolchain that prepares and trains, and the one runtime folder."""
    for name, text in (
        ("runtimes/counting/adapter.py", ADAPTER),
        ("runtimes/counting/image.yaml", IMAGE),
        ("runtimes/counting/requirements.txt", "numpy==2.4.6"),
        ("runtimes/Dockerfile", "FROM base"),
        ("toolchains/torch/image.yaml", IMAGE),
        ("toolchains/torch/requirements.txt", "numpy==2.4.6"),
        ("toolchains/Dockerfile", "FROM base"),
        ("base/Dockerfile", "FROM scratch"),
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return folder


def opened(folder: Path, matrix: str, engine: str, tree: Path) -> Workspace:
    """A matrix beside the user's own words; its report goes to ``out``."""
    file = folder / "matrix.yaml"
    file.write_text(matrix, "utf-8")
    catalog = load_catalog(tree)
    chosen, reason = registry.choose(engine, folder / "work")
    parsed = load.load(file, catalog)
    return Workspace(file, parsed, catalog, chosen, reason, Store(folder / "work"), folder / "out", lambda cell: True)


def run(workspace: Workspace) -> Results:
    """The rows, all of them measured."""
    outcome = running.run(workspace, "plain")
    assert outcome.results is not None
    told = [(cell.id, cell.status, cell.reason) for cell in outcome.results.cells if cell.status is not Status.OK]
    assert (outcome.exit, told) == (Exit.OK, [])
    return outcome.results


def check_rows(rows: Results, folder: Path) -> None:
    """What holds of both models, whatever runs them."""
    assert len(rows.cells) == 6
    assert {cell.id.rsplit("/", 1)[1] for cell in rows.cells} == {"b2-l12"}
    for cell in rows.cells:
        assert cell.quality is not None
        assert (cell.quality.metric, cell.quality.higher_is_better) == ("misses", False)
        assert [other.metric for other in cell.more_quality] == ["hits"]
        assert cell.quality.value == pytest.approx(100 * (1 - cell.more_quality[0].value))
        assert cell.quality.examples == (60 if cell.model == "with-my-data" else 400)
        assert cell.latency_ms is not None
    compared = [cell for cell in rows.cells if cell.runtime != "pytorch"]
    assert all(cell.fidelity and cell.fidelity.top1_agreement > 0.99 for cell in compared)
    assert all(cell.quality and cell.quality.change_interval for cell in compared)
    page = (folder / "out" / "index.html").read_text("utf-8")
    assert "misses" in page
    assert "12 letters" in page


def test_a_new_task_with_a_format_of_its_own_runs_to_the_report(plugin: Path, tmp_path: Path) -> None:
    write_words(tmp_path / "my-words")
    rows = run(opened(tmp_path, MATRIX % "pytorch, single, half", "host", images(tmp_path / "images")))
    check_rows(rows, tmp_path)
    counted, mine = (
        [cell.quality.value for cell in rows.cells if cell.model == model and cell.quality]
        for model in ("counting", "with-my-data")
    )
    assert max(counted) < 5
    assert mine == pytest.approx([10] * 3)  # six of sixty answers are wrong on purpose


def test_a_task_s_own_misfit_is_the_reason_of_its_rows(plugin: Path, tmp_path: Path) -> None:
    (write_words(tmp_path / "my-words") / "evaluate.words").write_text("bad y", "utf-8")
    workspace = opened(tmp_path, MATRIX % "pytorch", "host", images(tmp_path / "images"))
    workspace.wanted = lambda cell: cell.model == "with-my-data"
    outcome = running.run(workspace, "plain")
    assert outcome.results is not None
    (row,) = [cell for cell in outcome.results.cells if cell.model == "with-my-data"]
    assert row.status is Status.CONVERT_FAILED
    assert "path:./my-words: 'y' is no vowel" in str(row.reason)


def test_without_the_plug_in_the_task_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="unknown task 'top-vowel'"):
        load.parse(MATRIX % "pytorch", "matrix.yaml", load_catalog(images(tmp_path / "images")))


@pytest.mark.docker
def test_a_new_task_runs_on_our_own_runtimes(plugin: Path, tmp_path: Path) -> None:
    try:
        registry.choose("docker", tmp_path / "work")
    except HarnessError as missing:
        pytest.skip(str(missing))
    matrix = MATRIX.replace("counting-vowels", "bert-vowels").replace("1GiB", "3GiB")
    write_words(tmp_path / "my-words")
    check_rows(run(opened(tmp_path, matrix % "pytorch, onnxruntime, openvino", "docker", places.images())), tmp_path)
