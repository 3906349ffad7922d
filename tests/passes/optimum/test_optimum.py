"""Optimum's pass, by the optimum toolchain's own environment."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import reference
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/optimum")]

from passes import optimum  # noqa: E402


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A checkpoint as the exporter hf4 makes it: with logits to compare."""
    checkpoint, inputs = tiny.checkpoint(tiny.ENCODER, tmp_path), tiny.inputs(tiny.ENCODER)
    np.savez(checkpoint.path / "parity.npz", **inputs, logits=reference(checkpoint, inputs))
    return tiny.relabelled(checkpoint, format="hf4")


def test_fuses_the_layers_of_an_encoder_and_keeps_its_logits(artifact: Artifact, steps: Steps) -> None:
    _, effect = steps.apply(optimum, artifact)
    assert effect["level_applied"] == "O2"
    assert effect["operators_after"] < effect["operators_before"]
    assert effect["max_abs_logit_difference"] < 1e-4


def test_refuses_a_checkpoint_that_transformers_4_reads_otherwise(artifact: Artifact, steps: Steps) -> None:
    with np.load(artifact.path / "parity.npz") as arrays:
        np.savez(artifact.path / "parity.npz", **{**arrays, "logits": arrays["logits"] + 1})
    with pytest.raises(ConversionError, match="differs from the checkpoint"):
        steps.apply(optimum, artifact, level="none")
