"""The stack of alike layers that a transformer is: where it is, and the configuration of a shorter one."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from harness.making import ConversionError


def stack(model: Any) -> tuple[str, Any]:
    """Name and list of the model's layers. Raises ConversionError where it is not one stack of them."""
    import torch

    depth = getattr(model.config, "num_hidden_layers", None)
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth]
    if len(found) != 1:
        raise ConversionError(
            f"{model.config.model_type} is not one transformer stack: none of its layers can be chosen"
        )
    return found[0]


def shortened(config: Any, kept: Sequence[int]) -> Any:
    """The configuration of a model with these of its layers."""
    shorter = deepcopy(config)
    if getattr(config, "layer_types", None):  # before the count, which transformers compares with it
        shorter.layer_types = [config.layer_types[at] for at in kept]
    shorter.num_hidden_layers = len(kept)
    return shorter
