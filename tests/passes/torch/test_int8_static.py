"""Static INT8 by PT2E: what was calibrated at one size runs at another, and is near the model that it was made from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from harness.contracts.artifact import Artifact, Context
from harness.tasks import _storage
from tests.passes.contexts import IMAGES, make_artifact, make_context

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from exporters import torch_export  # noqa: E402
from passes import int8_static  # noqa: E402


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    torch.manual_seed(0)
    config = ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=4
    )
    ResNetForImageClassification(config).save_pretrained(tmp_path / "source")
    return make_artifact(tmp_path / "source", IMAGES)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    data = tmp_path / "train"
    data.mkdir()
    pixels = np.random.default_rng(0).random((8, 1, 32, 32), np.float32)
    _storage.save(data, {"task": IMAGES}, {"pixel_values": pixels, "labels": np.arange(8) % 4})
    return make_context(IMAGES, {"calibration": data})


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (3, 48, 64)])
def test_batch_and_size_of_images_are_open(
    artifact: Artifact, context: Context, tmp_path: Path, batch: int, height: int, width: int
) -> None:
    for folder in ("fp32", "int8"):
        (tmp_path / folder).mkdir()
    torch_export.export(artifact, tmp_path / "fp32", context)
    made = int8_static.apply(artifact, tmp_path / "int8", {"examples": 8}, context)
    pixels = torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        exact, quantized = (
            torch.export.load(tmp_path / folder / "model.pt2").module()(pixels) for folder in ("fp32", "int8")
        )
    assert exact.shape == quantized.shape == (batch, 4)
    assert 0 < (exact - quantized).abs().max() < 0.1 * exact.abs().max() + 0.05
    assert made.effect["tensors_quantized"] > 3
