"""What passes and exporters are told of a model and of their surroundings, for each kind of model that is tested."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Recipe
from harness.contracts.cards import Use

ENCODER, CLASSIFIER, IMAGES, LANGUAGE = (
    "token-classification",
    "text-classification",
    "image-classification",
    "text-generation",
)
USES = {
    ENCODER: Use("forward", "text"),
    CLASSIFIER: Use("forward", "text"),
    IMAGES: Use("forward", "image"),
    LANGUAGE: Use("generate", "text"),
}
AUTO_CLASSES = {
    ENCODER: "AutoModelForTokenClassification",
    CLASSIFIER: "AutoModelForSequenceClassification",
    IMAGES: "AutoModelForImageClassification",
    LANGUAGE: "AutoModelForCausalLM",
}
RECIPES = {
    ENCODER: Recipe(188, 32, 3e-4),
    CLASSIFIER: Recipe(188, 32, 3e-4),
    IMAGES: Recipe(450, 32, 3e-3),
    LANGUAGE: Recipe(24, 2, 1e-4),
}


def make_context(task: str, inputs: Mapping[str, Path] | None = None, threads: int = 2, seed: int = 0) -> Context:
    """The context of a step on a model of that task; ``calibration`` among ``inputs`` is its train split."""
    told = {"use": USES[task], "auto_class": AUTO_CLASSES[task], "recipe": RECIPES[task]}
    return Context(seed, threads, task, progress=lambda fraction, message: None, inputs=inputs or {}, **told)


def make_manifest(task: str, form: str = "hf", weights: tuple[str, ...] = ("model.safetensors",)) -> dict[str, Any]:
    """The manifest of an artifact in fp32 that no pass has touched."""
    use = USES[task]
    model = {"task": task, "call": use.call, "modality": use.modality, "auto_class": AUTO_CLASSES[task]}
    made = {"passes": [], "provenance": [], "tools": {}, "extra": {}}
    return {"format": form, "precision": "fp32", "weights": list(weights), **model, **made}


def make_artifact(
    path: Path, task: str, form: str = "hf", weights: tuple[str, ...] = ("model.safetensors",)
) -> Artifact:
    """What lies in a folder, as an artifact; no manifest is written."""
    return Artifact(path, make_manifest(task, form, weights))
