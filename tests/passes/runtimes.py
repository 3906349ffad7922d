"""What an artifact answers in the runtime that it is for: by the adapter that measures it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.making import Artifact
from harness.tasks import Array

RUNTIMES = Path(__file__).parents[2] / "images/runtimes"


def answer(made: Artifact, runtime: str, inputs: Mapping[str, Array], mode: str = "") -> tuple[Array, str]:
    """The logits of an artifact, float32, and the precision that the runtime says it computes in."""
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
    adapter: Any = sys.modules[name].Adapter("cpu", 2, mode)
    adapter.load(made.path, made.manifest)
    logits = np.array(adapter.run(inputs)["logits"], np.float32)
    precision = adapter.precision()
    adapter.close()
    return logits, precision


def drift(expected: Array, actual: Array) -> float:
    """The norm of what the logits differ by over the norm of the logits, their means taken off; 1.4 where they are unrelated."""
    assert expected.shape == actual.shape
    spread = expected - expected.mean(axis=tuple(range(expected.ndim - 1)))
    return float(np.linalg.norm(expected - actual) / np.linalg.norm(spread))
