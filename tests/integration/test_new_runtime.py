"""A runtime is one folder: that of CONTRIBUTING.md, word for word, is found, locked, planned, installed and measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness.catalog import load_catalog
from harness.contracts import prepared, values
from harness.contracts.record import RuntimeRecord
from harness.contracts.step import MachineName, StepDescription, StepStatus
from harness.engines.venv.engine import VenvEngine
from harness.matrix import load
from harness.matrix.keys import runtime_code
from harness.provision.lock import lock
from tests.jobs import job_of
from tests.planning import planner
from tests.unit.test_docs import code_blocks

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.network

NAME = "onnx-reference"
GUIDE = ROOT / "CONTRIBUTING.md"
MATRIX = f"""
models: [{{name: digits-cnn, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}}]
methods: [original]
runtimes: [{NAME}]
report: {{baseline: {{runtime: {NAME}}}}}
"""
GRAPH = """
import sys, numpy as np
from onnx import TensorProto, helper, numpy_helper, save
weights = numpy_helper.from_array(np.eye(64, 10, dtype=np.float32), "weights")
nodes = [helper.make_node("Flatten", ["pixel_values"], ["flat"]), helper.make_node("MatMul", ["flat", "weights"], ["logits"])]
pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 1, 8, 8])
logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
save(helper.make_model(helper.make_graph(nodes, "tiny", [pixels], [logits], [weights])), sys.argv[1])
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of images with one folder more, whose three files the guide makes."""
    tree = tmp_path_factory.mktemp("tree") / "images"
    shutil.copytree(ROOT / "images", tree)
    folder = tree / "runtimes" / NAME
    folder.mkdir()
    (folder / "image.yaml").write_text(code_blocks(GUIDE, "yaml")[0])
    (folder / "adapter.py").write_text(code_blocks(GUIDE, "python")[0])
    (folder / "requirements.txt").write_text(lock(load_catalog(tree).images[f"runtimes/{NAME}"]))
    return tree


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A graph whose largest logit is the brightest of the first ten pixels; the held-out images have one bright pixel each."""
    folder = tmp_path / "artifact"
    (folder / "data").mkdir(parents=True)
    facts = {"format": "onnx", "precision": "fp32", "task": "image-classification", "weights": ["model.onnx"]}
    facts |= {"call": "forward", "modality": "image", "auto_class": "AutoModelForImageClassification"}
    (folder / "manifest.json").write_text(json.dumps(facts))
    bright = np.eye(64, dtype=np.float32)[:10].reshape(10, 1, 8, 8)
    prepared.save(folder / "data", {}, {"pixel_values": bright, "labels": np.arange(10)})
    return folder


def test_a_new_runtime_is_one_folder(images: Path, artifact: Path, tmp_path: Path) -> None:
    catalog = load_catalog(images)
    matrix = load.parse(MATRIX, "matrix.yaml", catalog)
    assert [cell.status for cell in planner(matrix, catalog).plan().cells] == [None]
    engine, runtime = VenvEngine(tmp_path / "work"), catalog.runtimes[NAME]
    built = engine.ensure(runtime.image, engine.places()[0], lambda line: None)
    subprocess.run([built.reference, "-c", GRAPH, str(artifact / "model.onnx")], check=True)
    code = runtime_code("evaluate", runtime.module, runtime.image, "image-classification")
    given = job_of(tmp_path, built, {"artifact": artifact, "data": artifact / "data"}, engine, code=code)
    spec = {"runtime": NAME, "device": "cpu", "keep_outputs": False}
    here = engine.places()[0].machine
    what = StepDescription("evaluate", spec, 0, 1, MachineName(here.id, here.name))
    engine.run(replace(given, description=what), lambda line: None)
    assert values.read(StepStatus, given.left / "status.json").status == "ok", given.log.read_text()
    found = values.read(RuntimeRecord, given.left / "out" / "record.json").evaluation
    assert found
    assert found.metrics[0].value == 1.0
    assert found.machine.id == here.id


def test_the_guide_s_folder_has_three_files(images: Path) -> None:
    names = {file.name for file in (images / "runtimes" / NAME).iterdir()}
    assert names == {"adapter.py", "image.yaml", "requirements.txt"}
    assert yaml.safe_load((images / "runtimes" / NAME / "image.yaml").read_text())["summary"]
