"""No runtime: constant outputs of the right shape, at once. What it measures is the harness itself."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from harness.contracts.adapter import Array, Arrays
from harness.contracts.artifact import Manifest
from harness.contracts.cards import Form, RuntimeCard

CARDS = (
    RuntimeCard(
        name="null",
        summary="no model: constant outputs at once, the harness's own overhead",
        loads=(Form("hf", "fp32"), Form("hf", "bf16"), Form("hf", "fp16"), Form("hf", "int8")),
        devices=("cpu",),
        source="https://docs.mlcommons.org/inference/submission/ (a null system under test)",
    ),
)


@cache
def _zeros(*shape: int) -> Array:
    return np.broadcast_to(np.float32(0), shape)  # a view of one number: nothing to fill, nothing to hold


class Adapter:
    """Answers without reading its inputs; of the artifact it reads the width and the kind of its answers only."""

    def __init__(self, device: str, threads: int, mode: str) -> None:
        pass

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Read the width of the logits from ``config.json``."""
        config = json.loads((artifact / "config.json").read_text("utf-8"))
        generates = manifest.call == "generate"
        # transformers writes no id2label where a model has two labels, the default.
        self.width: int = config["vocab_size"] if generates else len(config.get("id2label", "01"))
        self.rank = (
            2 if generates or "Token" in manifest.auto_class else 1
        )  # an answer for every token, or for every row

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Zero logits."""
        first = next(iter(inputs.values()))
        return {"logits": _zeros(*first.shape[: self.rank], self.width)}

    def prefill(self, input_ids: Array) -> Array:
        """Zero logits."""
        return _zeros(len(input_ids), self.width)

    def decode(self, token_ids: Array) -> Array:
        """Zero logits."""
        return _zeros(len(token_ids), self.width)

    def precision(self) -> str:
        """No arithmetic at all."""
        return "none"

    def close(self) -> None:
        """Nothing to free."""
