"""Folders that tests of tasks share: a checkpoint without weights goes in, prepared data comes out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.tasks import _positions


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers, which tells how many tokens a model takes, is not installed here: the configuration alone says it."""

    def token_limit(path: Path, tokenizer: Any) -> int:
        return min(
            tokenizer.model_max_length, json.loads((path / "config.json").read_text())["max_position_embeddings"]
        )

    monkeypatch.setattr(_positions, "token_limit", token_limit)


@pytest.fixture
def model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The configuration of a model that takes 512 tokens; its classes are the ``LABELS`` of the test's module."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_labels(folder, request.module.LABELS)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def write_labels(model: Path, labels: Sequence[str]) -> None:
    """Configure a model with these classes; without labels it names none."""
    named = {"id2label": {str(i): label for i, label in enumerate(labels)}} if labels else {}
    (model / "config.json").write_text(json.dumps({**named, "max_position_embeddings": 512}))
