"""Structured pruning: whole channels, attention heads and feed-forward units go, with all that depends on them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import WEIGHTS, load_model

CARD = PassCard(
    name="structured",
    summary="remove channels, heads and feed-forward units, then fine-tune, by torch-pruning; formerly LLM-Pruner",
    accepts=(Form("hf", "fp32"),),
    source="Fang et al. 2023, DepGraph: Towards Any Structural Pruning, https://arxiv.org/abs/2301.12900; "
    "Ma et al. 2023, LLM-Pruner, https://arxiv.org/abs/2305.11627; https://github.com/VainF/Torch-Pruning",
    costs="other",
    calls=("forward", "generate"),
    modalities=("text", "image"),
    parameters={
        "ratio": Parameter(
            0.5, "share of every width that is removed; a language model wants less", minimum=0.01, maximum=0.95
        ),
        "width": Parameter(
            "ffn",
            "of a transformer: its feed-forward layers, or these and heads and hidden width; a CNN loses channels everywhere",
            choices=("ffn", "all"),
        ),
        "importance": Parameter(
            "taylor", "what is kept: where the loss or the norm is large", choices=("taylor", "magnitude")
        ),
        "round_to": Parameter(8, "widths are whole multiples of it, of 8 for vector units", minimum=1),
        "examples": Parameter(
            0, "training examples that the loss is differentiated on; 0: 64, of a language model 10", minimum=0
        ),
        "recovery_steps": Parameter(
            -1, "of fine-tuning; 0: none; -1: 24 of a language model, 188 of an encoder, 450 of a CNN", minimum=-1
        ),
        "learning_rate": Parameter(0.0, "its peak; 0: 0.0001, 0.0003 and 0.003 likewise", minimum=0, maximum=1),
    },
    needs_training_data=True,
)


@dataclass(frozen=True)
class Cut:
    """One width that shrinks: the layer that sets it, how torch-pruning cuts its outputs, and what goes together."""

    layer: Any
    cut: Callable[..., Any]
    keep: int  # units
    unit: int = 1  # consecutive channels that are one unit, as those of an attention head are


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Prune by dependency graph, rebuild the model from the configuration that describes what is left, let it recover.

    All layers lose the same share, so that one number of the configuration describes them. Raises ConversionError where the
    architecture is unknown or nothing would be removed.
    """
    from pruning import recover, recovery_effect, removed, save
    from training import Examples

    examples = Examples.of(context)
    smaller, facts = _pruned(source, parameters, examples, context)
    gc.collect()  # the traced graph refers to itself: it would hold the original's weights and activations while we train
    trained = recover(smaller, examples, parameters, context, (0.2, 0.95))
    save(smaller, source, out)
    effect = {
        **removed(source, out, context.auto_class),
        **facts,
        **_widths(smaller.config),
        **recovery_effect(trained),
    }
    return Made([WEIGHTS], effect=effect, extra=dict(source.manifest.extra))


def _pruned(
    source: Artifact, parameters: Mapping[str, Any], examples: Any, context: Context
) -> tuple[Any, dict[str, Any]]:
    """The pruned model, not yet trained, and facts about it."""
    import torch_pruning
    from pruning import rebuilt
    from training import Examples, collate

    model = load_model(source.path, context.auto_class)
    sample = {name: tensor for name, tensor in collate(examples.items[:1]).items() if name != "labels"}
    context.progress(0.0, "tracing dependencies")
    graph = torch_pruning.DependencyGraph().build_dependency(
        model, example_inputs=sample, forward_fn=lambda traced, inputs: traced(**inputs).logits
    )
    config, cuts = _plan(model, graph, parameters)
    macs = _macs(model, sample)
    if parameters["importance"] == "taylor":
        few = 10 if context.use.call == "generate" else 64  # 10 as in LLM-Pruner: its examples are long
        _differentiate(model, Examples.of(context, parameters["examples"] or few), context)
    _prune(model, graph, cuts, parameters["importance"])
    smaller = rebuilt(model, config)
    return smaller, {"layers_cut": len(cuts), "macs_before": macs, "macs_after": _macs(smaller, sample)}


def _plan(model: Any, graph: Any, parameters: Mapping[str, Any]) -> tuple[Any, list[Cut]]:
    """The configuration of the pruned model, and the cuts that lead to it."""
    config = deepcopy(model.config)

    def kept(width: int) -> int:
        step: int = parameters["round_to"]
        nearest: int = round(width * (1 - parameters["ratio"]) / step) * step
        return min(width, max(step, nearest))

    if hasattr(config, "hidden_sizes") and hasattr(config, "embedding_size"):
        config.embedding_size, config.hidden_sizes = kept(config.embedding_size), [*map(kept, config.hidden_sizes)]
        return config, list(_channels(graph, kept))
    if not getattr(config, "intermediate_size", 0):
        raise ConversionError(
            f"structured does not know {config.model_type}: it prunes ResNets, and transformers with an intermediate_size"
        )
    cuts = list(_feed_forward(model, config.intermediate_size, kept))
    if not cuts:
        raise ConversionError(f"{config.model_type} has no linear layer as wide as its intermediate_size")
    if parameters["width"] == "all":
        cuts += _heads_and_hidden(model, config, parameters["ratio"])
    config.intermediate_size = kept(config.intermediate_size)
    return config, cuts


def _channels(graph: Any, kept: Callable[[int], int]) -> Iterator[Cut]:
    """The outputs of all convolutions; those that are added to each other are one group."""
    import torch
    from torch_pruning import prune_conv_out_channels

    for group in graph.get_all_groups(root_module_types=[torch.nn.Conv2d]):
        layer = group[0].dep.target.module
        yield Cut(layer, prune_conv_out_channels, kept(layer.out_channels))


def _feed_forward(model: Any, width: int, kept: Callable[[int], int]) -> Iterator[Cut]:
    """The layers that widen to the intermediate size; of a gate and what it gates, whose widths are one, the gate."""
    import torch
    from torch_pruning import prune_linear_out_channels

    for name, layer in model.base_model.named_modules():
        if isinstance(layer, torch.nn.Linear) and layer.out_features == width and not name.endswith("up_proj"):
            yield Cut(layer, prune_linear_out_channels, kept(width))


def _heads_and_hidden(model: Any, config: Any, ratio: float) -> list[Cut]:
    """As many heads of every layer, and as much of the hidden width as their sizes add up to; changes ``config``.

    BERT and its kin derive a head's size as hidden width over heads, so that one cannot shrink without the other.
    """
    from torch_pruning import prune_embedding_out_channels, prune_linear_out_channels

    queries = [m.query for m in model.modules() if hasattr(m, "query") and hasattr(m, "num_attention_heads")]
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "word_embeddings", None)
    hidden = config.hidden_size
    if not queries or embeddings is None or embeddings.embedding_dim != hidden:
        raise ConversionError(f"width: all fits BERT and its kin, not {config.model_type}: use width: ffn")
    size = hidden // config.num_attention_heads
    config.num_attention_heads = max(1, round(config.num_attention_heads * (1 - ratio)))
    config.hidden_size = config.num_attention_heads * size
    heads = [Cut(query, prune_linear_out_channels, config.num_attention_heads, size) for query in queries]
    return [*heads, Cut(embeddings, prune_embedding_out_channels, config.hidden_size)]


def _differentiate(model: Any, examples: Any, context: Context) -> None:
    """Leave the gradient of the loss, summed over the examples, in ``model``."""
    from training import collate

    for done, item in enumerate(examples.items):
        context.progress(0.05 + 0.15 * done / len(examples), f"loss of example {done + 1} of {len(examples)}")
        model(**collate([item])).loss.backward()


def _prune(model: Any, graph: Any, cuts: list[Cut], importance: str) -> None:
    """Make all cuts; what is removed is chosen on the whole model."""
    from torch_pruning.pruner.importance import GroupMagnitudeImportance, GroupTaylorImportance

    rank = GroupTaylorImportance() if importance == "taylor" else GroupMagnitudeImportance()
    chosen = [_least_important(graph, cut, rank) for cut in cuts]
    model.zero_grad(set_to_none=True)
    for cut, channels in zip(cuts, chosen, strict=True):
        if channels:
            graph.get_pruning_group(cut.layer, cut.cut, channels).prune()


def _least_important(graph: Any, cut: Cut, rank: Callable[[Any], Any]) -> list[int]:
    """The channels that go: those of the units whose members' importance sums to least."""
    channels = graph.get_out_channels(cut.layer)
    scores = rank(graph.get_pruning_group(cut.layer, cut.cut, list(range(channels)))).view(-1, cut.unit).sum(dim=1)
    gone = scores.argsort()[: len(scores) - cut.keep].tolist()
    return sorted(unit * cut.unit + offset for unit in gone for offset in range(cut.unit))


def _macs(model: Any, sample: Mapping[str, Any]) -> int:
    """Multiplications and additions of one example, as torch-pruning counts them."""
    from torch_pruning.utils import count_ops_and_params

    return int(count_ops_and_params(model, dict(sample))[0])


def _widths(config: Any) -> dict[str, Any]:
    """What is left, as flat facts."""
    if hasattr(config, "hidden_sizes"):
        return {"widths": ", ".join(map(str, [config.embedding_size, *config.hidden_sizes]))}
    return {
        "ffn_width": config.intermediate_size,
        "hidden_width": config.hidden_size,
        "heads": config.num_attention_heads,
    }
