"""Unstructured sparsity: which weights may become zero, N:M patterns, and how sparse a written checkpoint really is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import ConversionError
from harness.toolchain.checkpoint import load_model


def prunable(model: Any) -> dict[str, Any]:
    """The linear and convolutional layers of the model's body, by name.

    Embeddings and what lies outside the body (the classifier, a language-model head) are no part of it, nor a layer whose
    matrix is an embedding's. Raises ConversionError where there is none.
    """
    import torch

    body = set(model.base_model.modules())
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    layers = {
        name: module
        for name, module in model.named_modules()
        if module in body and isinstance(module, kinds) and id(module.weight) not in embeddings
    }
    if not layers:
        raise ConversionError("the model has no linear or convolutional layer that could be pruned")
    return layers


def pattern_mask(weight: Any, keep: int, group: int) -> Any:
    """1 where a weight is among the ``keep`` largest of its ``group``, else 0.

    Groups are consecutive input channels, as sparse matrix units want them; ``weight`` is [out, in, ...], ``in`` divisible by
    ``group``. Source: Mishra et al. 2021, Accelerating Sparse Deep Neural Networks.
    """
    import torch

    groups = _groups(weight, group)
    mask = torch.zeros_like(groups).scatter_(1, groups.abs().topk(keep, dim=1).indices, 1)
    return mask.reshape(weight.movedim(1, -1).shape).movedim(-1, 1).contiguous()


def pattern_share(layers: Mapping[str, Any], keep: int, group: int) -> float:
    """The share of groups of ``group`` input channels that hold at most ``keep`` weights other than zero."""
    kept = groups = 0
    for layer in layers.values():
        nonzero = (_groups(layer.weight.detach(), group) != 0).sum(dim=1)
        kept, groups = kept + int((nonzero <= keep).sum()), groups + len(nonzero)
    return kept / groups


def zeros(layers: Mapping[str, Any]) -> dict[str, int]:
    """How many weights of each layer are zero."""
    return {name: int((layer.weight.detach() == 0).sum()) for name, layer in layers.items()}


def effect(path: Path, auto_class: str, before: Mapping[str, int]) -> dict[str, Any]:
    """How sparse the checkpoint in ``path`` is, read from its file; ``before`` are the :func:`zeros` of its source.

    Raises ConversionError where no weight became zero.
    """
    model = load_model(path, auto_class)
    layers = prunable(model)
    after = zeros(layers)
    if sum(after.values()) <= sum(before.values()):
        raise ConversionError("no weight became zero: ask for more sparsity")
    sizes = {name: layer.weight.numel() for name, layer in layers.items()}
    shares = [after[name] / sizes[name] for name in layers]
    weights = sum(parameter.numel() for parameter in model.parameters())
    zeros_of_all = sum(int((parameter.detach() == 0).sum()) for parameter in model.parameters())
    return {
        "sparsity": round(sum(after.values()) / sum(sizes.values()), 4),
        "sparsity_of_all_weights": round(zeros_of_all / weights, 4),
        "lowest_layer_sparsity": round(min(shares), 4),
        "highest_layer_sparsity": round(max(shares), 4),
        "tensors_pruned": sum(after[name] > before[name] for name in layers),
    }


def _groups(weight: Any, group: int) -> Any:
    """[groups, group]: consecutive input channels of a weight [out, in, ...]."""
    return weight.movedim(1, -1).reshape(-1, group)
