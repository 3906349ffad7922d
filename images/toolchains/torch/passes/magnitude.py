"""Magnitude pruning: the smallest weights become zero, over the whole model, layer by layer, or in an N:M pattern."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import WEIGHTS, load_model

CARD = PassCard(
    name="magnitude",
    summary="set the smallest weights to zero, by torch.nn.utils.prune; smaller once compressed, no faster in dense kernels",
    accepts=(Form("hf", "fp32"),),
    source="Han et al. 2015, Learning both Weights and Connections for Efficient Neural Networks, "
    "https://arxiv.org/abs/1506.02626; https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.global_unstructured.html",
    costs="other",
    parameters={
        "sparsity": Parameter(0.5, "share of the prunable weights that become zero", minimum=0.01, maximum=0.99),
        "scope": Parameter(
            "layer",
            "what weights are compared within: every layer loses the same share, or the smallest of all go",
            choices=("layer", "global"),
        ),
        "pattern": Parameter(
            "unstructured",
            "2:4 keeps the 2 largest of every 4 consecutive input channels: sparsity is 0.5, scope has no meaning",
            choices=("unstructured", "2:4", "4:8"),
        ),
    },
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Prune linear and convolutional layers but embeddings, tied heads and the classifier; nothing is trained.

    With a pattern, layers whose input channels it does not divide stay dense, and are counted. Raises ConversionError where a
    pattern meets another sparsity than its own, or fits no layer.
    """
    from pruning import save
    from sparsity import effect, pattern_share, prunable, zeros

    model = load_model(source.path, context.auto_class)
    layers = prunable(model)
    before = zeros(layers)
    context.progress(0.1, f"pruning {len(layers)} layers")
    pattern = parameters["pattern"]
    if pattern == "unstructured":
        _prune(layers, parameters["sparsity"], parameters["scope"])
    else:
        layers = _prune_in_groups(layers, pattern, parameters["sparsity"])
    context.progress(0.7, "writing")
    save(model, source, out)
    context.progress(0.9, "counting zeros")
    facts = effect(out, context.auto_class, before)
    if pattern != "unstructured":
        written = prunable(load_model(out, context.auto_class))
        share = pattern_share({name: written[name] for name in layers}, *_counts(pattern))
        facts |= {"share_of_groups_in_pattern": round(share, 4), "tensors_left_dense": len(written) - len(layers)}
    return Made([WEIGHTS], effect=facts, extra=dict(source.manifest.extra))


def _prune(layers: Mapping[str, Any], sparsity: float, scope: str) -> None:
    from torch.nn.utils import prune

    if scope == "global":
        weights = [(layer, "weight") for layer in layers.values()]
        prune.global_unstructured(weights, prune.L1Unstructured, amount=sparsity)
    else:
        for layer in layers.values():
            prune.l1_unstructured(layer, "weight", amount=sparsity)
    for layer in layers.values():
        prune.remove(layer, "weight")


def _prune_in_groups(layers: Mapping[str, Any], pattern: str, sparsity: float) -> dict[str, Any]:
    """Prune the layers that the pattern divides, and return them."""
    from sparsity import pattern_mask
    from torch.nn.utils import prune

    keep, group = _counts(pattern)
    if sparsity != 1 - keep / group:
        raise ConversionError(f"the pattern {pattern} has a sparsity of {1 - keep / group:g}: leave sparsity out")
    fitting = {name: layer for name, layer in layers.items() if layer.weight.shape[1] % group == 0}
    if not fitting:
        raise ConversionError(f"no layer has input channels divisible by {group}: use the pattern unstructured")
    for layer in fitting.values():
        prune.custom_from_mask(layer, "weight", pattern_mask(layer.weight.detach(), keep, group))
        prune.remove(layer, "weight")
    return fitting


def _counts(pattern: str) -> tuple[int, int]:
    keep, group = map(int, pattern.split(":"))
    return keep, group
