"""The proof that transformers 4 computes of a checkpoint what transformers 5 computed: the form ``hf4`` carries its logits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.contracts.artifact import Artifact
from harness.tasks import Array
from harness.toolchain.checkpoint import load_model
from harness.toolchain.parity import require_close, source_logits


def reference(source: Artifact) -> tuple[dict[str, Array], Array]:
    """The inputs by name, and the logits that transformers 5 answered."""
    with np.load(source.path / "parity.npz", allow_pickle=False) as arrays:
        inputs = dict(arrays)
    return inputs, inputs.pop("logits")


def require_parity(source: Artifact, task: str) -> float:
    """The largest difference of the logits between the two. Raises ConversionError where it is more than rounding."""
    inputs, expected = reference(source)
    return require_close(expected, source_logits(load_model(source.path, task), inputs))


def graph_logits(file: Path, inputs: Mapping[str, Array]) -> Array:
    """What an ONNX graph answers; inputs that it has no name for are left out."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {value.name: inputs[value.name] for value in session.get_inputs()})
    return np.asarray(logits)
