"""A small residual network (He et al., 2015; transformers' ResNet) trained from nothing on handwritten digits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.contracts.artifact import Context, Made
from harness.contracts.task import Row
from harness.tasks._images import pixels
from harness.zoo import PinnedFile

TASK = "image-classification"
DATASET = "digits"
SOURCES: dict[str, PinnedFile] = {}
IMAGE = "toolchains/torch"
FORM = "hf/fp32"

_EPOCHS = 12
_BATCH = 32
_PEAK_RATE = 3e-3
_SIZE = 32
_MEAN, _STD = 0.31, 0.38  # of the training images


def train(sources: Mapping[str, Path], rows: Sequence[Row], out: Path, context: Context) -> Made:
    """AdamW with a one-cycle learning rate (Smith & Topin, 2018), cross-entropy; seeded, so the same on one machine."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    _write_preprocessor(out)
    config = ResNetConfig(
        num_channels=1,
        embedding_size=16,
        hidden_sizes=[16, 32, 64],
        depths=[2, 2, 2],
        layer_type="basic",
        id2label={i: str(i) for i in range(10)},
        label2id={str(i): i for i in range(10)},
    )
    config.image_size = _SIZE  # no field of this architecture, but kept in config.json all the same
    model = ResNetForImageClassification(config).train()
    config.save_pretrained(out)
    images = torch.from_numpy(pixels([row["image"] for row in rows], out))
    labels = torch.tensor([row["label"] for row in rows])

    steps = _EPOCHS * -(-len(rows) // _BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=steps)
    order = np.random.default_rng(context.seed)
    for epoch in range(_EPOCHS):
        for chosen in torch.split(torch.from_numpy(order.permutation(len(rows))), _BATCH):
            loss = model(pixel_values=images[chosen], labels=labels[chosen]).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            context.progress(schedule.last_epoch / steps, f"epoch {epoch + 1} of {_EPOCHS}, loss {loss.item():.3f}")
    model.eval().save_pretrained(out)
    note = (
        f"trained by the zoo on {len(rows)} handwritten digits of scikit-learn, {_EPOCHS} epochs, seed {context.seed}"
    )
    return Made(weights=["model.safetensors"], provenance=[note])


def _write_preprocessor(out: Path) -> None:
    facts = {
        "image_processor_type": "ViTImageProcessor",
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [_MEAN],
        "image_std": [_STD],
        "size": {"height": _SIZE, "width": _SIZE},
    }
    (out / "preprocessor_config.json").write_text(json.dumps(facts, indent=2), "utf-8")
