"""Images as a model wants them. The model's own processor of transformers prepares them, where it brings one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contracts import checkpoint
from harness.contracts.adapter import Array
from harness.contracts.task import Misfit

PROCESSOR = "preprocessor_config.json"
_WIDEST = {np.dtype(np.uint16): 65535.0}  # what stands for white, where it is not 255


def scaled(images: Sequence[Array]) -> list[npt.NDArray[np.float32]]:
    """Images of any type as float32 in 0..1, by what all of them together hold.

    Integers are taken for 0..255, or for 0..65535 where they are uint16 and go beyond; floats for 0..1, or for 0..255 where
    they go beyond 1. Raises Misfit for values that are neither.
    """
    if not images:
        return []
    low = min(float(image.min()) for image in images if image.size)
    high = max(float(image.max()) for image in images if image.size)
    kinds = {image.dtype for image in images}
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Misfit("an image holds values that are not finite")
    whole = all(np.issubdtype(kind, np.integer) for kind in kinds)
    white = 1.0 if kinds == {np.dtype(bool)} or (not whole and high <= 1) else 255.0
    if whole and high > white:
        white = _WIDEST.get(images[0].dtype, white) if len(kinds) == 1 else white
    if low < 0 or high > white:
        kind = "/".join(sorted(map(str, kinds)))
        raise Misfit(f"images of {kind} hold {low:g} to {high:g}: expected 0 to 255, or 0 to 1 for floats")
    return [np.asarray(image, dtype=np.float32) / np.float32(white) for image in images]


def pixels(images: Sequence[Array], model: Path, size: int | None = None) -> npt.NDArray[np.float32]:
    """Images [height, width] or [height, width, channels] as [images, channels, height, width], ready for the model.

    ``size`` is the edge that a workload asks for, else the model's own. Raises Misfit where the channels do not fit.
    """
    config = json.loads((model / "config.json").read_text("utf-8"))
    channels = config.get("num_channels", 3)
    planes = [_with_channels(image, channels) for image in scaled(images)]
    if (model / PROCESSOR).is_file():
        ready = _processed(planes, model)
    else:
        ready = _resized([image.transpose(2, 0, 1) for image in planes], _edge(config.get("image_size")))
    fits = ready.shape[-1] == ready.shape[-2] and size in (None, ready.shape[-1])
    return ready if fits else _resized(list(ready), size)


def _with_channels(image: npt.NDArray[np.float32], channels: int) -> npt.NDArray[np.float32]:
    """[height, width, channels]; a grey image is repeated."""
    values = image[..., None] if image.ndim == 2 else image
    if values.ndim != 3 or values.shape[-1] not in (1, channels):
        raise Misfit(f"an image has the shape {list(image.shape)}, the model takes {channels} channels, the last axis")
    return np.repeat(values, channels // values.shape[-1], axis=-1)


def _processor(model: Path) -> Any:
    """The model's own processor, over PIL: the other needs torchvision."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(model, backend="pil", **checkpoint.options(model))
    except (ValueError, OSError, KeyError) as error:
        raise Misfit(f"transformers does not load {PROCESSOR}: {' '.join(str(error).split())[:200]}") from None


def _processed(images: Sequence[npt.NDArray[np.float32]], model: Path) -> npt.NDArray[np.float32]:
    """What the processor makes of the images, which it takes as they are in files: bytes from 0 to 255."""
    processor = _processor(model)
    as_bytes = [np.rint(image * 255).astype(np.uint8) for image in images]
    made = processor(images=as_bytes, input_data_format="channels_last", return_tensors="np")["pixel_values"]
    return np.asarray(made, dtype=np.float32)


def _resized(images: Sequence[Array], size: int | None) -> npt.NDArray[np.float32]:
    """Planes [channels, height, width] in one size, bilinearly with antialiasing."""
    import torch

    if size is None:
        raise Misfit("the model's processor makes images that are not square, and the workload names no size")
    made = [
        torch.nn.functional.interpolate(
            torch.from_numpy(np.ascontiguousarray(image))[None], (size, size), mode="bilinear", antialias=True
        ).numpy()
        for image in images
    ]
    return np.asarray(np.concatenate(made), dtype=np.float32)


def _edge(size: Any) -> int:
    """The edge length of an image size as configurations write it: a number, a pair, or a mapping."""
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("shortest_edge")
    if isinstance(size, Sequence) and not isinstance(size, str) and size:
        size = size[0]
    if not isinstance(size, int):
        raise Misfit(f"the model has no {PROCESSOR}, and its configuration names no image size")
    return size
