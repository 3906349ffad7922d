"""Images as a model wants them: how it says so, and the pixels themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contracts.adapter import Array
from harness.contracts.task import Misfit


@dataclass(frozen=True)
class Preprocessing:
    """How images become pixels: edge length, channels, and per channel what is taken off and divided by (of 0..1)."""

    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, model: Path) -> Preprocessing:
        """Read ``config.json`` and, where there is one, ``preprocessor_config.json``."""
        config = json.loads((model / "config.json").read_text("utf-8"))
        file = model / "preprocessor_config.json"
        processor = json.loads(file.read_text("utf-8")) if file.exists() else {}
        channels = config.get("num_channels", 3)
        normalize = processor.get("do_normalize", "image_mean" in processor)
        return cls(
            image_size=_edge(config.get("image_size") or processor.get("crop_size") or processor.get("size")),
            channels=channels,
            mean=tuple(processor["image_mean"]) if normalize else (0.0,) * channels,
            std=tuple(processor["image_std"]) if normalize else (1.0,) * channels,
        )


def pixels(images: Sequence[Array], how: Preprocessing, size: int) -> npt.NDArray[np.float32]:
    """Images [height, width] or [height, width, channels], uint8 or float in 0..1, as [images, channels, size, size].

    Scaled bilinearly with antialiasing. Raises Misfit where a colour image meets a model of one channel.
    """
    import torch

    scaled = []
    for image in images:
        values = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image.astype(np.float32)
        planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
        if len(planes) not in (1, how.channels):
            raise Misfit(f"an image has {len(planes)} channels, the model takes {how.channels}")
        tensor = torch.from_numpy(np.repeat(planes, how.channels // len(planes), axis=0))[None]
        scaled.append(torch.nn.functional.interpolate(tensor, (size, size), mode="bilinear", antialias=True).numpy())
    mean, std = (np.array(values, dtype=np.float32)[:, None, None] for values in (how.mean, how.std))
    return np.asarray((np.concatenate(scaled) - mean) / std, dtype=np.float32)


def _edge(size: Any) -> int:
    """The edge length of an image size as configurations write it: a number, or a mapping."""
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("shortest_edge")
    if isinstance(size, Sequence):
        size = size[0]
    if not isinstance(size, int):
        raise Misfit("the model's configuration names no image size")
    return size
