"""Depth pruning: whole transformer layers that change little of what goes through them are dropped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import WEIGHTS, empty_model, load_model

CARD = PassCard(
    name="depth",
    summary="drop the transformer layers of least block influence, then fine-tune, by PyTorch",
    accepts=(Form("hf", "fp32"),),
    source="Men et al. 2024, ShortGPT: Layers in Large Language Models are More Redundant Than You Expect, "
    "https://arxiv.org/abs/2403.03853",
    costs="other",
    calls=("forward", "generate"),
    modalities=("text", "image"),
    parameters={
        "layers": Parameter(2, "how many to drop", minimum=1),
        "examples": Parameter(16, "training examples that influence is measured on", minimum=1),
        "recovery_steps": Parameter(
            -1, "of fine-tuning; 0: none; -1: 24 of a language model, 188 of an encoder", minimum=-1
        ),
        "learning_rate": Parameter(0.0, "its peak; 0: 0.0001 of a language model, else 0.0003", minimum=0, maximum=1),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Drop layers, rebuild the model from the configuration that describes what is left, let it recover.

    Raises ConversionError where the model is no stack of transformer layers, or has no more than are to be dropped.
    """
    from layers import shortened, stack
    from pruning import rebuilt, recover, recovery_effect, removed, save
    from training import Examples

    model = load_model(source.path, context.auto_class)
    _, layers = stack(model)
    if parameters["layers"] >= len(layers):
        raise ConversionError(f"the model has {len(layers)} layers: drop {len(layers) - 1} at most")
    influence = _influence(model, layers, Examples.of(context, parameters["examples"]), context)
    dropped = sorted(sorted(range(len(layers)), key=influence.__getitem__)[: parameters["layers"]])
    config = shortened(model.config, [at for at in range(len(layers)) if at not in dropped])
    for at in reversed(dropped):
        del layers[at]
    smaller = rebuilt(model, config)
    trained = recover(smaller, Examples.of(context), parameters, context, (0.2, 0.95))
    save(smaller, source, out)
    facts = {
        "layers_removed": len(influence) - empty_model(out, context.auto_class).config.num_hidden_layers,
        "layers_dropped": ", ".join(str(at + 1) for at in dropped),  # counted from 1
        "highest_influence_dropped": round(max(influence[at] for at in dropped), 4),
    }
    effect = {**facts, **removed(source, out, context.auto_class), **recovery_effect(trained)}
    return Made([WEIGHTS], effect=effect, extra=dict(source.manifest.extra))


def _influence(model: Any, layers: Any, examples: Any, context: Context) -> list[float]:
    """Block influence of each layer: 1 - the mean cosine of a token's hidden state before and after it, over all tokens."""
    import torch
    from training import collate

    sums, tokens = [0.0] * len(layers), 0

    def measure(at: int, before: Any, after: Any) -> None:
        states = after[0] if isinstance(after, tuple) else after
        sums[at] += float((1 - torch.nn.functional.cosine_similarity(before, states, dim=-1)).sum())

    hooks = [
        layer.register_forward_hook(
            lambda module, arguments, keywords, after, at=at: measure(at, _states(arguments, keywords), after),
            with_kwargs=True,
        )
        for at, layer in enumerate(layers)
    ]
    with torch.inference_mode():
        for done, item in enumerate(examples.items):
            context.progress(0.2 * done / len(examples), f"influence on example {done + 1} of {len(examples)}")
            batch = collate([item])
            model(**batch)
            tokens += batch["labels"].numel()
    for hook in hooks:
        hook.remove()
    return [total / tokens for total in sums]


def _states(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """The hidden states [batch, tokens, width] among what a layer was called with."""
    return arguments[0] if arguments else keywords["hidden_states"]
