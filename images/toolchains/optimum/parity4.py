"""The proof that transformers 4 computes of a checkpoint what transformers 5 computed: the form ``hf4`` carries its logits."""

from __future__ import annotations

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact
from harness.toolchain.checkpoint import load_model
from harness.toolchain.parity import require_close, source_logits


def reference(source: Artifact) -> tuple[dict[str, Array], Array]:
    """The inputs by name, and the logits that transformers 5 answered."""
    with np.load(source.path / "parity.npz", allow_pickle=False) as arrays:
        inputs = dict(arrays)
    return inputs, inputs.pop("logits")


def require_parity(source: Artifact, auto_class: str) -> float:
    """The largest difference of the logits between the two. Raises ConversionError where it is more than rounding."""
    inputs, expected = reference(source)
    return require_close(expected, source_logits(load_model(source.path, auto_class), inputs))
