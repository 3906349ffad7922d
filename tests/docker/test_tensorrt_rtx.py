"""TensorRT-RTX engines, built for real where no GPU is: from ONNX graphs in FP32, FP16 and INT8 to engine files."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from harness import tasks
from harness.catalog import load_catalog
from harness.contracts import values
from harness.contracts.artifact import Manifest
from harness.contracts.step import StepDescription, StepStatus
from harness.engines import takeover
from harness.engines.bounds import Bounds
from harness.engines.contract import Built, Job, Limits
from harness.engines.docker.engine import DockerEngine
from harness.engines.transfer import PlainShelf
from harness.matrix.keys import tool_code
from harness.provision.images import hand_reference
from harness.runner.steps import hand_closure

pytestmark = pytest.mark.docker

LIMITS = Limits(cpus=2, memory_bytes=4 * 2**30, timeout_s=300)
TASKS = {"encoder": "token-classification", "cnn": "image-classification"}
PRECISIONS = ("fp32", "fp16", "int8-qdq")

#: An encoder of MiniLM's width with two layers, and the architecture of digits-cnn; random weights, no fused operators.
GRAPHS = """
    from pathlib import Path
    import torch
    import transformers
    from transformers.exporters import OnnxConfig, OnnxExporter

    torch.manual_seed(0)
    bert = transformers.BertConfig(
        vocab_size=2000, hidden_size=384, num_hidden_layers=2, num_attention_heads=12, intermediate_size=1536, num_labels=7
    )
    resnet = transformers.ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32, 64], depths=[2, 2, 2], layer_type="basic", num_labels=10
    )
    ids = torch.arange(48).reshape(2, 24)
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    models = {
        "encoder": (transformers.BertForTokenClassification(bert), text),
        "cnn": (transformers.ResNetForImageClassification(resnet), {"pixel_values": torch.rand(2, 1, 32, 32)}),
    }
    for name, (model, inputs) in models.items():
        exporter = OnnxExporter()
        exported = exporter.export(model.eval(), inputs, OnnxConfig(dynamic=True))
        folder = Path("/step/out", name)
        folder.mkdir(parents=True)
        exporter.save_program(exported.program, folder / "model.onnx")
"""


@dataclass
class Kitchen:
    """Runs toolchain steps in their images; every step has a folder of its own."""

    engine: DockerEngine
    folder: Path

    def built(self, image: str) -> Built:
        return self.engine.ensure(load_catalog().images[image], self.engine.places()[0], lambda _: None)

    def step(self, name: str, image: str, kind: str, tool: str, task: str, **inputs: Path) -> tuple[StepStatus, Path]:
        """The step's status, and its output folder."""
        folder = self.folder / name
        (folder / "left").mkdir(parents=True)
        catalog = load_catalog()
        tools = catalog.passes if kind == "compress" else catalog.exporters
        (found,) = (each for each in tools if each.card.name == tool and each.image.name == image)
        spec = {"pass" if kind == "compress" else "exporter": tool, "parameters": {}, "toolchain": image, "task": task}
        job = Job(
            key=name,
            built=self.built(image),
            code=tool_code(kind, found.module, found.image, task),
            description=StepDescription(kind, spec, 0, 2),
            inputs={given: given for given in inputs},
            shelf=PlainShelf(inputs),
            left=folder / "left",
            log=folder / "log.txt",
            limits=LIMITS,
            place=self.engine.places()[0],
            bounds=Bounds(),
        )
        self.engine.run(job, lambda _: None)
        takeover.take_file(job.left, "status.json", folder / "status.json", job.bounds.status_bytes)
        takeover.take_tree(job.left, "out", folder / "out", job.bounds)
        for path in (folder / "out", *(folder / "out").rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return values.read(StepStatus, folder / "status.json"), folder / "out"

    def compress(self, name: str, image: str, method: str, task: str, **inputs: Path) -> Path:
        status, out = self.step(name, image, "compress", method, task, **inputs)
        assert status.status == "ok", status.reason
        return out

    def build(self, name: str, task: str, artifact: Path) -> tuple[StepStatus, Path]:
        return self.step(name, "toolchains/tensorrt.rtx", "export", "tensorrt-rtx", task, artifact=artifact)


@pytest.fixture(scope="module")
def kitchen(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    return Kitchen(engine, tmp_path_factory.mktemp("kitchen"))


@pytest.fixture(scope="module")
def graphs(kitchen: Kitchen) -> Mapping[str, Path]:
    """The ONNX artifacts in FP32, by model."""
    program = kitchen.folder / "program"
    program.mkdir()
    (program / "main.py").write_text(dedent(GRAPHS))
    step = kitchen.folder / "graphs"
    step.mkdir()
    image = kitchen.built("toolchains/torch").reference
    volumes = {str(step): {"bind": "/step", "mode": "rw"}, str(program): {"bind": "/program", "mode": "ro"}}
    kitchen.engine.client.containers.run(
        image, "/program/main.py", entrypoint="python", volumes=volumes, user="0", remove=True
    )
    for name, task in TASKS.items():
        files = ["model.onnx", "model.onnx.data"]
        manifest = Manifest("onnx", "fp32", **tasks.card(task).facts, weights=files)
        write_manifest(step / "out" / name, values.dump(manifest))
    return {name: step / "out" / name for name in TASKS}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def calibration(kitchen: Kitchen) -> Mapping[str, Path]:
    """Sixteen examples for each model, as a prepared data set lies on disk."""
    random = np.random.default_rng(0)
    lengths = random.integers(8, 40, 16)
    arrays = {
        "encoder": {
            "input_ids": random.integers(0, 2000, lengths.sum()),
            "offsets": np.cumsum([0, *lengths], dtype=np.int64),
        },
        "cnn": {"pixel_values": random.random((16, 1, 32, 32), np.float32)},
    }
    folders = {name: kitchen.folder / f"calibration-{name}" for name in arrays}
    for name, folder in folders.items():
        folder.mkdir()
        np.savez_compressed(folder / "data.npz", **arrays[name])
        (folder / "data.json").write_text(json.dumps({"task": TASKS[name]}))
    return folders


@pytest.fixture(scope="module")
def engines(
    kitchen: Kitchen, graphs: Mapping[str, Path], calibration: Mapping[str, Path]
) -> Mapping[tuple[str, str], Path]:
    """The artifact with the engine, by model and precision."""
    made = {}
    for name, task in TASKS.items():
        graph = graphs[name]
        sources = {
            "fp32": graph,
            "fp16": kitchen.compress(f"{name}-fp16", "toolchains/onnxruntime", "fp16", task, artifact=graph),
            "int8-qdq": kitchen.compress(
                f"{name}-int8",
                "toolchains/tensorrt.modelopt",
                "int8-static",
                task,
                artifact=graph,
                calibration=calibration[name],
            ),
        }
        for precision, source in sources.items():
            status, made[name, precision] = kitchen.build(f"{name}-{precision}-engine", task, source)
            assert status.status == "ok", status.reason
    return made


def read_manifest(artifact: Path) -> dict[str, Any]:
    return json.loads((artifact / "manifest.json").read_text("utf-8"))


def size(artifact: Path) -> int:
    return (artifact / "model.engine").stat().st_size


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_computes_in_the_precision_of_its_graph(
    engines: Mapping[tuple[str, str], Path], name: str, precision: str
) -> None:
    manifest = read_manifest(engines[name, precision])
    assert (manifest["format"], manifest["precision"]) == ("tensorrt-rtx", precision)
    assert manifest["extra"]["arithmetic"] == precision.removesuffix("-qdq")
    products = manifest["exports"][-1]["effect"]["matrix_products"]
    assert set(products) == {"fp32": {"fp32"}, "fp16": {"fp16"}, "int8-qdq": {"int8", "fp16"}}[precision]


def test_engines_shrink_with_the_precision_of_their_weights(engines: Mapping[tuple[str, str], Path]) -> None:
    fp32, fp16, int8 = (size(engines["encoder", precision]) for precision in PRECISIONS)
    assert 0.45 < fp16 / fp32 < 0.6
    assert int8 < 0.8 * fp16
    assert size(engines["cnn", "fp16"]) < size(engines["cnn", "fp32"])


def test_batch_length_and_image_size_are_dynamic(engines: Mapping[tuple[str, str], Path]) -> None:
    profiles = [read_manifest(engines[name, "fp32"])["exports"][-1]["effect"]["profile"] for name in TASKS]
    assert profiles[0]["input_ids"] == ["1x1", "1x128", "32x512"]
    assert profiles[1]["pixel_values"] == ["1x1x32x32", "1x1x224x224", "32x1x512x512"]


def test_weights_of_the_quantized_graph_are_stored_in_int8(engines: Mapping[tuple[str, str], Path]) -> None:
    (applied,) = read_manifest(engines["encoder", "int8-qdq"])["passes"]
    assert applied["effect"]["examples"] == 16
    assert applied["effect"]["tensors_quantized"] >= 12
    assert 0.5 < applied["effect"]["share_of_weights_quantized"] < 1


def test_of_an_encoder_only_the_inputs_of_matrix_products_with_weights_are_quantized(
    engines: Mapping[tuple[str, str], Path],
) -> None:
    (applied,) = read_manifest(engines["encoder", "int8-qdq"])["passes"]
    # In each of two layers: what queries, keys and values are made of, what attention gives, and both inputs of the MLP.
    assert applied["effect"]["activations_quantized"] == 2 * 4


def test_a_dynamically_quantized_graph_is_refused_with_the_reason(kitchen: Kitchen, graphs: Mapping[str, Path]) -> None:
    task, artifact = TASKS["encoder"], graphs["encoder"]
    dynamic = kitchen.compress("dynamic", "toolchains/onnxruntime", "int8-dynamic", task, artifact=artifact)
    status, _ = kitchen.build("refused-form", task, dynamic)
    assert status.status == "convert-failed"
    assert str(status.reason) == "tensorrt-rtx takes onnx/fp32, onnx/fp16, onnx/int8-qdq, not onnx/int8"
    write_manifest(dynamic, {**read_manifest(dynamic), "precision": "fp32"})
    status, _ = kitchen.build("refused-operators", task, dynamic)
    assert str(status.reason).startswith("TensorRT-RTX cannot read the operators MatMulInteger (")
    assert "DynamicQuantizeLinear (" in str(status.reason)
    assert "it takes float graphs and int8-static" in str(status.reason)


def test_without_a_gpu_the_runtime_says_so_in_one_line(
    engine: DockerEngine, engines: Mapping[tuple[str, str], Path], tmp_path: Path
) -> None:
    place, catalog = engine.places()[0], load_catalog()
    if place.devices["cuda"] is None:
        pytest.skip("there is a GPU")
    image = catalog.images["runtimes/tensorrt.rtx"]
    engine.refresh(image, hand_closure(catalog, image), place, lambda _: None)
    (tmp_path / "workload").mkdir(mode=0o755)
    np.savez_compressed(tmp_path / "workload" / "data.npz", pixel_values=np.zeros((8, 1, 1, 32, 32), np.float32))
    (tmp_path / "workload" / "data.json").write_text("{}")
    tmp_path.chmod(0o755)
    run = ["docker", "run", "--rm", "-v", f"{engines['cnn', 'fp32']}:/artifact:ro", "-v", f"{tmp_path}:/data:ro"]
    run += [hand_reference(image), "/artifact", "--data", "/data", "--device", "cuda"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no CUDA device" in line
