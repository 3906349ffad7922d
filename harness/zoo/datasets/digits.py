"""Handwritten digits, 8 x 8 pixels (Alpaydin & Kaynak, 1998), from scikit-learn: 1,437 to train on, 360 held out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.contracts.task import Row
from harness.zoo import PinnedFile

TASK = "image-classification"
SOURCES: dict[str, PinnedFile] = {}

_EVALUATE = 360
_SEED = 0


def rows(split: str, sources: Mapping[str, Path]) -> list[Row]:
    """Images float32 [8, 8] in 0..1; the split is stratified by digit and fixed."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images / 16).astype("float32")
    parts = train_test_split(images, digits.target, test_size=_EVALUATE, random_state=_SEED, stratify=digits.target)
    chosen, labels = (parts[0], parts[2]) if split == "train" else (parts[1], parts[3])
    return [{"image": image, "label": int(label)} for image, label in zip(chosen, labels, strict=True)]
