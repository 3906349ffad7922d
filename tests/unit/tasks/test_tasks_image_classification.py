"""Accuracy, and how a model's configuration decides what it is shown. Scaling itself needs torch: see the container tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contracts import prepared
from harness.tasks._images import Preprocessing
from harness.tasks.image_classification import prepare, score


@pytest.fixture
def pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images pass as they are, one channel before them."""
    monkeypatch.setattr(prepare, "pixels", lambda images, how, size: np.stack(images)[:, None].astype(np.float32))


def write(folder: Path, config: dict[str, Any], processor: dict[str, Any] | None = None) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def rows(count: int) -> list[dict[str, Any]]:
    return [{"image": np.full((4, 4), i / count), "label": i % 3} for i in range(count)]


@pytest.mark.parametrize("size", [{"height": 32, "width": 32}, {"shortest_edge": 32}, 32, [32, 32]])
def test_the_image_size_is_read_however_it_is_written(tmp_path: Path, size: Any) -> None:
    assert Preprocessing.of(write(tmp_path, {}, {"size": size})).image_size == 32


def test_the_models_own_image_size_goes_first(tmp_path: Path) -> None:
    assert Preprocessing.of(write(tmp_path, {"image_size": 28}, {"size": 32})).image_size == 28


def test_a_model_without_an_image_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names no image size"):
        Preprocessing.of(write(tmp_path, {"num_channels": 1}))


def test_normalization_is_the_models(tmp_path: Path) -> None:
    how = Preprocessing.of(
        write(tmp_path, {"num_channels": 1, "image_size": 8}, {"image_mean": [0.3], "image_std": [0.4]})
    )
    assert (how.mean, how.std) == ((0.3,), (0.4,))


def test_nothing_is_normalized_where_the_model_says_so(tmp_path: Path) -> None:
    processor = {"image_mean": [0.3], "image_std": [0.4], "do_normalize": False}
    how = Preprocessing.of(write(tmp_path, {"num_channels": 1, "image_size": 8}, processor))
    assert (how.mean, how.std) == ((0.0,), (1.0,))


@pytest.mark.usefixtures("pixels")
def test_accuracy_is_the_share_of_right_classes(tmp_path: Path) -> None:
    model = write(tmp_path, {"num_channels": 1, "image_size": 4})
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
    prepare.prepare_evaluation(rows(12), write(tmp_path, {"num_channels": 1, "image_size": 4}), tmp_path)
    examples = score.training_examples(tmp_path)
    assert {example["pixel_values"].shape for example in examples} == {(1, 4, 4)}
    assert [int(example["labels"]) for example in examples] == [row["label"] for row in rows(12)]
