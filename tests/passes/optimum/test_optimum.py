"""Optimum's pass, by the optimum toolchain's own environment."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import transformers

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes.contexts import ENCODER, make_artifact, make_context

IMAGE = Path(__file__).parents[3] / "images/toolchains/optimum"
sys.path.append(str(IMAGE))
CONTEXT = make_context(ENCODER)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    from harness.toolchain.parity import source_logits

    config = transformers.BertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=3
    )
    model = transformers.BertForTokenClassification(config).eval()
    model.save_pretrained(tmp_path)
    ids = np.arange(15).reshape(3, 5)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    np.savez(tmp_path / "parity.npz", **inputs, logits=source_logits(model, inputs))
    return make_artifact(tmp_path, ENCODER, "hf4")


def test_fuses_the_layers_of_an_encoder_and_keeps_its_logits(
    artifact: Artifact, tmp_path_factory: pytest.TempPathFactory
):
    from passes.optimum import apply

    made = apply(artifact, tmp_path_factory.mktemp("out"), {"level": "auto"}, CONTEXT)
    assert made.effect["level_applied"] == "O2"
    assert made.effect["operators_after"] < made.effect["operators_before"]
    assert made.effect["max_abs_logit_difference"] < 1e-4


def test_refuses_a_checkpoint_that_transformers_4_reads_otherwise(artifact: Artifact, tmp_path: Path):
    from passes.optimum import apply

    with np.load(artifact.path / "parity.npz") as arrays:
        np.savez(artifact.path / "parity.npz", **{**arrays, "logits": arrays["logits"] + 1})
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ConversionError, match="differs from the checkpoint"):
        apply(artifact, out, {"level": "none"}, CONTEXT)
