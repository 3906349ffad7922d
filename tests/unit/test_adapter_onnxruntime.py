"""ONNX Runtime on a GPU: a row of cuda is never measured on the CPU. The library is a stand-in, for failing needs no GPU."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ADAPTER = Path(__file__).parents[2] / "images" / "runtimes" / "onnxruntime" / "adapter.py"


class Library(ModuleType):
    """What the adapter uses of ONNX Runtime; sessions get the providers ``started``."""

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
        return SimpleNamespace(get_providers=lambda: self.started, get_inputs=list)


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an adapter for a GPU and loads a graph, with a stand-in in ONNX Runtime's place."""
    spec = importlib.util.spec_from_file_location("onnxruntime_adapter", ADAPTER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def load(available: list[str], started: list[str]) -> Any:
        monkeypatch.setitem(sys.modules, "onnxruntime", Library(available, started))
        made = module.Adapter("cuda", 2, "")
        made.load(Path("artifact"), {})
        return made

    return load


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_a_session_on_the_gpu_is_taken(adapter: Any) -> None:
    assert adapter([CUDA, CPU], [CUDA, CPU]).session.get_providers()[0] == CUDA


def test_a_session_that_fell_back_to_the_cpu_is_refused(adapter: Any) -> None:
    with pytest.raises(RuntimeError, match="the CUDA provider does not start"):
        adapter([CUDA, CPU], [CPU])


def test_a_build_without_cuda_is_refused(adapter: Any) -> None:
    with pytest.raises(RuntimeError, match="has no CUDAExecutionProvider"):
        adapter([CPU], [CPU])
