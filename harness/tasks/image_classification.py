"""Image classification: accuracy on images that are scaled and normalized as the model's own configuration says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.tasks import Array, Misfit, Row, Score, _storage
from harness.tasks._bootstrap import Floats, interval

NAME = "image-classification"
METRIC = "accuracy"
HIGHER_IS_BETTER = True
WORKLOAD = {"batch": 1, "image_size": 224}

workload_batches = _storage.load_batches


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


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    """Write the rows' ``image`` and ``label`` (the model's class id)."""
    how = Preprocessing.of(model)
    labels = np.array([row["label"] for row in rows], dtype=np.int64)
    arrays: dict[str, Array] = {
        "pixel_values": pixels([row["image"] for row in rows], how, how.image_size),
        "labels": labels,
    }
    _storage.save(out, {"task": NAME, "image_size": how.image_size}, arrays)


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    """Write ``pixel_values`` [batch, channels, image_size, image_size]."""
    batch, size = (workload[name] for name in WORKLOAD)
    count = _storage.BATCHES * batch
    if len(rows) < count:
        needs = f"needs {count} ({_storage.BATCHES} inputs of batch {batch})"
        raise Misfit(f"the data set has {len(rows)} images, the workload {needs}: ask for a smaller batch")
    values = pixels([row["image"] for row in rows[:count]], Preprocessing.of(model), size)
    arrays = {"pixel_values": values.reshape(_storage.BATCHES, batch, *values.shape[1:])}
    _storage.save(out, {"task": NAME, "workload": dict(workload)}, arrays)


def evaluation_batches(data: Path) -> Iterator[dict[str, Array]]:
    """``pixel_values`` [1, channels, height, width] of each image."""
    _, arrays = _storage.load(data)
    for image in arrays["pixel_values"]:
        yield {"pixel_values": image[None]}


def training_examples(data: Path) -> list[dict[str, Array]]:
    """``pixel_values`` [channels, height, width] and the class id ``labels``, a scalar array, of each image."""
    _, arrays = _storage.load(data)
    pairs = zip(arrays["pixel_values"], arrays["labels"], strict=True)
    return [{"pixel_values": image, "labels": np.asarray(label)} for image, label in pairs]


def reduce(logits: Array, inputs: Mapping[str, Array]) -> Array:
    """The class id, a scalar array."""
    return np.asarray(logits[0].argmax(), dtype=np.int64)


def score(predictions: Sequence[Array], data: Path) -> Score:
    """Accuracy; the interval resamples images."""
    _, arrays = _storage.load(data)
    right = (np.stack(predictions) == arrays["labels"]).astype(np.float64)
    counts = np.column_stack([right, np.ones_like(right)])
    return Score(METRIC, float(right.mean()), interval(counts, metric), counts.tolist(), HIGHER_IS_BETTER)


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


def metric(sums: Floats) -> Floats:
    """Right images over all images, of sums [n, 2]."""
    return sums[:, 0] / sums[:, 1]


def _edge(size: Any) -> int:
    """The edge length of an image size as configurations write it: a number, or a mapping."""
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("shortest_edge")
    if isinstance(size, Sequence):
        size = size[0]
    if not isinstance(size, int):
        raise Misfit("the model's configuration names no image size")
    return size
