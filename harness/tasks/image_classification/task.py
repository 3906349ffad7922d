"""The card of image classification."""

from __future__ import annotations

from harness.contracts.artifact import Recipe
from harness.contracts.cards import Use
from harness.contracts.task import Column, Field, Metric, TaskCard

CARD = TaskCard(
    name="image-classification",
    summary="one class for an image",
    words={"en": "image classification", "ru": "классификация изображений"},
    use=Use("forward", "image"),
    auto_class="AutoModelForImageClassification",
    heads=("ForImageClassification", "ForImageClassificationWithTeacher"),
    fields={
        "batch": Field(1, "b", {"en": "batch {value}", "ru": "батч {value}"}),
        "image_size": Field(224, "i", {"en": "{value} × {value} px", "ru": "{value} × {value} пикс."}),
    },
    columns=(
        Column("image", "array [height, width(, channels)], uint8 or float in 0..1"),
        Column("label", "the model's class, a number"),
    ),
    metrics=(
        Metric("accuracy", higher_is_better=True, words={"en": "accuracy", "ru": "доля верных"}, worst=0.0),
        Metric("macro_f1", higher_is_better=True, words={"en": "macro F1", "ru": "макро-F1"}, worst=0.0),
    ),
    recipe=Recipe(steps=450, batch=32, learning_rate=3e-3),
    source="Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge, section 4",
)
