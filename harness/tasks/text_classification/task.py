"""The card of text classification."""

from __future__ import annotations

from harness.contracts.artifact import Recipe
from harness.contracts.cards import Use
from harness.contracts.task import Column, Field, Metric, TaskCard

CARD = TaskCard(
    name="text-classification",
    summary="one class for a text or for a pair of texts: its language, its sentiment, whether one follows from the other",
    words={"en": "text classification", "ru": "классификация текстов"},
    use=Use("forward", "text"),
    auto_class="AutoModelForSequenceClassification",
    heads=("ForSequenceClassification",),
    fields={
        "batch": Field(1, "b", {"en": "batch {value}", "ru": "батч {value}"}),
        "sequence_length": Field(128, "s", {"en": "{value} tokens", "ru": "токенов: {value}"}),
    },
    columns=(
        Column("text", "text"),
        Column("text_pair", "the second text of a pair", optional=True),
        Column("label", "the class, by the model's name for it or by its number"),
    ),
    metrics=(
        Metric("accuracy", higher_is_better=True, words={"en": "accuracy", "ru": "доля верных"}, worst=0.0),
        Metric("macro_f1", higher_is_better=True, words={"en": "macro F1", "ru": "макро-F1"}, worst=0.0),
        Metric("matthews", higher_is_better=True, words={"en": "Matthews", "ru": "Мэтьюс"}, worst=-1.0),
    ),
    recipe=Recipe(steps=188, batch=32, learning_rate=3e-4),
    source="Wang et al. 2019, GLUE: A Multi-Task Benchmark for Natural Language Understanding, table 1",
)
