"""The card of token classification."""

from __future__ import annotations

from harness.contracts.artifact import Recipe
from harness.contracts.cards import Use
from harness.contracts.task import Column, Field, Metric, TaskCard

CARD = TaskCard(
    name="token-classification",
    summary="a class for every word of a sentence, such as the names in it",
    words={"en": "token classification", "ru": "классификация токенов"},
    use=Use("forward", "text"),
    auto_class="AutoModelForTokenClassification",
    heads=("ForTokenClassification",),
    fields={
        "batch": Field(1, "b", {"en": "batch {value}", "ru": "батч {value}"}),
        "sequence_length": Field(128, "s", {"en": "{value} tokens", "ru": "токенов: {value}"}),
    },
    columns=(Column("tokens", "list of words"), Column("tags", "list of their tags in the IOB2 scheme")),
    metrics=(
        Metric("f1", higher_is_better=True, words={"en": "F1", "ru": "F1"}, worst=0.0),
        Metric("precision", higher_is_better=True, words={"en": "precision", "ru": "точность"}, worst=0.0),
        Metric("recall", higher_is_better=True, words={"en": "recall", "ru": "полнота"}, worst=0.0),
    ),
    recipe=Recipe(steps=188, batch=32, learning_rate=3e-4),
    source="Tjong Kim Sang & De Meulder 2003, Introduction to the CoNLL-2003 Shared Task",
)
