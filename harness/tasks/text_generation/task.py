"""The card of text generation."""

from __future__ import annotations

from harness.contracts.artifact import Recipe
from harness.contracts.cards import Use
from harness.contracts.task import Column, Field, Metric, TaskCard

CARD = TaskCard(
    name="text-generation",
    summary="language models: the text that follows a text",
    words={"en": "text generation", "ru": "генерация текста"},
    use=Use("generate", "text"),
    auto_class="AutoModelForCausalLM",
    heads=("ForCausalLM", "LMHeadModel"),
    fields={
        "batch": Field(1, "b", {"en": "batch {value}", "ru": "батч {value}"}),
        "prompt_tokens": Field(128, "p", {"en": "prompt {value}", "ru": "запрос {value}"}),
        "generated_tokens": Field(32, "g", {"en": "generates {value}", "ru": "генерирует {value}"}),
    },
    columns=(Column("text", "text"),),
    metrics=(Metric("perplexity", higher_is_better=False, words={"en": "perplexity", "ru": "перплексия"}, ratio=True),),
    recipe=Recipe(steps=24, batch=2, learning_rate=1e-4),
    source="https://huggingface.co/docs/transformers/perplexity",
)
