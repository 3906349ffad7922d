"""Static INT8 by PT2E: what was calibrated at one size runs at another, and is near the model that it was made from."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.passes import tiny
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from exporters import torch_export  # noqa: E402
from passes import int8_static  # noqa: E402


def test_batch_and_size_of_images_are_open(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.IMAGES, tmp_path)
    full, _ = steps.export(torch_export, source)
    made, effect = steps.apply(int8_static, source, examples=8)
    assert effect["examples"] == 8
    assert effect["tensors_quantized"] > 3
    graphs = [torch.export.load(each.weights[0]).module() for each in (full, made)]
    for batch, height, width in ((1, 32, 32), (3, 48, 64)):
        pixels = torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            exact, quantized = (graph(pixels) for graph in graphs)
        assert exact.shape == quantized.shape == (batch, 4)
        assert 0 < (exact - quantized).abs().max() < 0.1 * exact.abs().max() + 0.05
