"""What an artifact answers in the runtime that it is for: by the adapter that measures it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact
from harness.toolchain.checkpoint import load_model
from harness.toolchain.parity import source_logits

KEPT: list[Any] = []  # adapters of a process are never freed: llama.cpp goes on calling the latest one's log
RUNTIMES = Path(__file__).parents[2] / "images/runtimes"


def answer(made: Artifact, runtime: str, inputs: Mapping[str, Array], mode: str = "") -> tuple[Array, str]:
    """The logits of an artifact, float32, and the precision that the runtime says it computes in."""
    adapter = _loaded(made, runtime, mode)
    logits = np.array(adapter.run(inputs)["logits"], np.float32)
    precision = adapter.precision()
    adapter.close()
    return logits, precision


def generated(made: Artifact, runtime: str, ids: Array, prompt: int) -> Array:
    """The logits that follow a prompt of so many tokens and each later one, fed one by one on top of the cache."""
    adapter = _loaded(made, runtime, "")
    logits = [np.array(adapter.prefill(ids[:, :prompt]), np.float32)]
    logits += [np.array(adapter.decode(ids[:, at]), np.float32) for at in range(prompt, ids.shape[1])]
    adapter.close()
    return np.stack(logits, axis=1)


def _loaded(made: Artifact, runtime: str, mode: str) -> Any:
    folder = RUNTIMES / runtime
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # adapters import what lies beside them
    name = f"tested_{runtime}_adapter"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "adapter.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    adapter = sys.modules[name].Adapter("cpu", 2, mode)
    KEPT.append(adapter)
    adapter.load(made.path, made.manifest)
    return adapter


def reference(checkpoint: Artifact, inputs: Mapping[str, Array]) -> Array:
    """The logits of a checkpoint in transformers, where the toolchain has no runtime for checkpoints."""
    return source_logits(load_model(checkpoint.path, checkpoint.manifest.auto_class), inputs)


def drift(expected: Array, actual: Array) -> float:
    """The norm of what logits differ by, over that of the logits; 1.4 where they have nothing in common.

    What all rows and positions share is taken off: a model that answered everything alike would seem near.
    """
    assert expected.shape == actual.shape
    shared = expected.mean(axis=tuple(range(expected.ndim - 1))) if expected.size > expected.shape[-1] else 0
    return float(np.linalg.norm(expected - actual) / np.linalg.norm(expected - shared))
