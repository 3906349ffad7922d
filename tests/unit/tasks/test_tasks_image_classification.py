"""Accuracy, and how a model's configuration decides what it is shown. Scaling itself needs torch: see the container tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contracts import prepared
from harness.contracts.task import Misfit
from harness.tasks import _images
from harness.tasks._images import scaled
from harness.tasks.image_classification import prepare, score

THREE = {"0": "a", "1": "b", "2": "c"}


@pytest.fixture
def pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images pass as they are, one channel before them."""
    monkeypatch.setattr(_images, "pixels", lambda images, model, size=4: np.stack(images)[:, None].astype(np.float32))


def write(folder: Path, config: dict[str, Any], processor: dict[str, Any] | None = None) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def rows(count: int) -> list[dict[str, Any]]:
    return [{"image": np.full((4, 4), i / count), "label": i % 3} for i in range(count)]


@pytest.mark.parametrize(
    ("image", "white"),
    [
        (np.array([[0, 255]], np.uint8), 255),
        (np.array([[0, 9]], np.uint8), 255),
        (np.array([[0, 200]], np.int64), 255),
        (np.array([[0, 255]], np.uint16), 255),
        (np.array([[0, 60000]], np.uint16), 65535),
        (np.array([[0.0, 1.0]], np.float64), 1),
        (np.array([[0.0, 254.5]], np.float32), 255),
        (np.array([[False, True]]), 1),
    ],
)
def test_pixels_are_scaled_by_what_they_are(image: Any, white: float) -> None:
    (found,) = scaled([image])
    assert found.dtype == np.float32
    assert found == pytest.approx(image.astype(np.float64) / white)


def test_all_images_are_scaled_alike(tmp_path: Path) -> None:
    dark, light = scaled([np.array([[0.5]]), np.array([[200.0]])])
    assert (dark[0, 0], light[0, 0]) == pytest.approx((0.5 / 255, 200 / 255))


@pytest.mark.parametrize("value", [-1.0, 256.0, float("nan"), float("inf")])
def test_pixels_that_are_neither_bytes_nor_shares_are_refused(value: float) -> None:
    with pytest.raises(Misfit, match=r"expected 0 to 255|not finite"):
        scaled([np.array([[0.0, value]])])


def test_a_label_beyond_the_models_classes_is_refused(tmp_path: Path) -> None:
    model = write(tmp_path, {"num_channels": 1, "image_size": 4})
    with pytest.raises(Misfit, match="beyond the model's 2 classes"):
        prepare.prepare_evaluation(rows(12), model, tmp_path)


@pytest.mark.usefixtures("pixels")
def test_accuracy_is_the_share_of_right_classes(tmp_path: Path) -> None:
    model = write(tmp_path, {"num_channels": 1, "image_size": 4, "id2label": THREE})
    prepare.prepare_evaluation(rows(12), model, tmp_path)
    batches = list(score.evaluation_batches(tmp_path))
    assert {batch["pixel_values"].shape for batch in batches} == {(1, 1, 4, 4)}
    always_first = [score.reduce({"logits": np.array([[3.0, 1.0, 2.0]])}, batch) for batch in batches]
    found = score.score(always_first, tmp_path)
    accuracy = found.metrics["accuracy"]
    assert accuracy.value == pytest.approx(1 / 3)
    assert found.examples == 12
    assert accuracy.interval is not None
    assert 0 <= accuracy.interval[0] < accuracy.value < accuracy.interval[1] <= 1


@pytest.mark.usefixtures("pixels")
def test_a_workload_has_different_real_images_in_its_shape(tmp_path: Path) -> None:
    model = write(tmp_path, {"num_channels": 1, "image_size": 4})
    prepare.prepare_workload(rows(40), model, {"batch": 2, "image_size": 4}, tmp_path)
    batches = prepared.load_batches(tmp_path)
    assert len({batch["pixel_values"].tobytes() for batch in batches}) == 8
    assert {batch["pixel_values"].shape for batch in batches} == {(2, 1, 4, 4)}


@pytest.mark.usefixtures("pixels")
def test_too_few_images_for_a_workload_is_an_error(tmp_path: Path) -> None:
    model = write(tmp_path, {"num_channels": 1, "image_size": 4})
    with pytest.raises(ValueError, match="has 15 images, the workload needs 16"):
        prepare.prepare_workload(rows(15), model, {"batch": 2, "image_size": 4}, tmp_path)


@pytest.mark.usefixtures("pixels")
def test_an_image_is_learnt_with_its_class(tmp_path: Path) -> None:
    prepare.prepare_evaluation(
        rows(12), write(tmp_path, {"num_channels": 1, "image_size": 4, "id2label": THREE}), tmp_path
    )
    examples = score.training_examples(tmp_path)
    assert {example["pixel_values"].shape for example in examples} == {(1, 4, 4)}
    assert [int(example["labels"]) for example in examples] == [row["label"] for row in rows(12)]
