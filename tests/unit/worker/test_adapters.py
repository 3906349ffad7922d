"""What adapters decide about their runtimes, without the runtimes: where a row runs, and what it computes in."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.contracts.artifact import Manifest

RUNTIMES = Path(__file__).parents[3] / "images" / "runtimes"


def adapter_of(runtime: str) -> Any:
    """The module ``adapter.py`` of a runtime's folder; it imports its library inside of functions only."""
    spec = importlib.util.spec_from_file_location(f"{runtime}_adapter", RUNTIMES / runtime / "adapter.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- ONNX Runtime: a row of cuda is never measured on the CPU ------------------------------------------------------------


class Library(ModuleType):
    """A stand-in for ONNX Runtime, as far as the adapter uses it; sessions get the providers ``started``."""

    ExecutionMode = SimpleNamespace(ORT_SEQUENTIAL=0)
    GraphOptimizationLevel = SimpleNamespace(ORT_ENABLE_ALL=99)

    def __init__(self, available: list[str], started: list[str]) -> None:
        super().__init__("onnxruntime")
        self.available, self.started, self.preloaded = available, started, False
        self.SessionOptions = lambda: SimpleNamespace(add_session_config_entry=lambda name, value: None)

    def disable_telemetry_events(self) -> None:
        pass

    def get_available_providers(self) -> list[str]:
        return self.available

    def preload_dlls(self) -> None:
        self.preloaded = True

    def InferenceSession(self, path: Path, options: Any, providers: list[Any]) -> Any:  # noqa: N802
        assert self.preloaded, "CUDA's libraries have to be there before a session asks for them"
        return SimpleNamespace(get_providers=lambda: self.started, get_inputs=list, get_outputs=list)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an adapter for a GPU and loads a graph, with a stand-in in ONNX Runtime's place."""
    module = adapter_of("onnxruntime")

    def load(available: list[str], started: list[str]) -> Any:
        monkeypatch.setitem(sys.modules, "onnxruntime", Library(available, started))
        made = module.Adapter("cuda", 2, "")
        made.load(Path("artifact"), {})
        return made

    return load


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_a_session_on_the_gpu_is_taken(on_a_gpu: Any) -> None:
    assert on_a_gpu([CUDA, CPU], [CUDA, CPU]).session.get_providers()[0] == CUDA


def test_a_session_that_fell_back_to_the_cpu_is_refused(on_a_gpu: Any) -> None:
    with pytest.raises(RuntimeError, match="the CUDA provider does not start"):
        on_a_gpu([CUDA, CPU], [CPU])


def test_a_build_without_cuda_is_refused(on_a_gpu: Any) -> None:
    with pytest.raises(RuntimeError, match="has no CUDAExecutionProvider"):
        on_a_gpu([CPU], [CPU])


# --- OpenVINO: what it computes in ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("isa", "multiplies"),
    [
        ("Intel AVX-512 with Intel DL Boost and bfloat16 support", True),
        ("Intel AVX2 with Intel DL Boost", True),
        ("Intel AVX10.1 and Intel AMX with bfloat16 and 8-bit integer support", True),
        ("Intel AVX2", False),
        ("Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions", False),
    ],
)
def test_openvino_quantizes_activations_where_the_processor_multiplies_bytes(isa: str, multiplies: bool) -> None:
    assert adapter_of("openvino").multiplies_bytes_on(f"meta=1.0;ov=2026.4.1;isa={isa}") is multiplies


# --- Outputs: all of a model's, by their names ---------------------------------------------------------------------------


def test_onnx_runtime_gives_every_output_but_the_cache() -> None:
    adapter = object.__new__(adapter_of("onnxruntime").Adapter)
    values = {"scores": np.ones(2), "boxes": np.zeros(4)}
    adapter.device, adapter.past, adapter.types, adapter.outputs = "cpu", [], {"pixels": np.float32}, list(values)
    adapter.session = SimpleNamespace(run=lambda names, feed: [values[name] for name in names])
    found = adapter.run({"pixels": np.ones(1)})
    assert found.keys() == values.keys()
    assert all(found[name] is values[name] for name in values)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [({"logits"}, "logits"), ({"1234", "logits"}, "logits"), ({"a/b.c", "t5_out", "boxes"}, "boxes")],
)
def test_openvino_names_an_output_by_the_name_that_no_converter_gave_it(names: set[str], chosen: str) -> None:
    assert adapter_of("openvino")._name(SimpleNamespace(get_names=lambda: names)) == chosen


@pytest.mark.parametrize(
    ("call", "auto_class", "inputs", "shape"),
    [
        ("generate", "AutoModelForCausalLM", {"input_ids": np.zeros((2, 5))}, (2, 5, 7)),
        ("forward", "AutoModelForTokenClassification", {"input_ids": np.zeros((2, 5))}, (2, 5, 3)),
        ("forward", "AutoModelForSequenceClassification", {"input_ids": np.zeros((2, 5))}, (2, 3)),
        ("forward", "AutoModelForImageClassification", {"pixel_values": np.zeros((2, 1, 8, 8))}, (2, 3)),
    ],
)
def test_null_answers_in_the_shape_of_the_model(
    tmp_path: Path, call: str, auto_class: str, inputs: dict[str, Any], shape: tuple[int, ...]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 7, "id2label": {"0": "a", "1": "b", "2": "c"}}))
    adapter = adapter_of("null").Adapter("cpu", 1, "")
    adapter.load(tmp_path, Manifest("hf", "fp32", "none", call, "text", auto_class, weights=[]))
    assert adapter.run(inputs)["logits"].shape == shape
