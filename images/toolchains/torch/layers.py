"""The stack of alike layers that a transformer is: where it is, which of them a shorter one keeps, and its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from harness.contracts.artifact import ConversionError


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


def evenly_spaced(depth: int, layers: int) -> list[int]:
    """So many of ``depth`` layers, the first and the last among them; of one layer, the last.

    Source: DistilBERT (Sanh et al. 2019), which takes one layer out of two.
    """
    return [int(at) for at in np.linspace(depth - 1, 0, layers).round()][::-1]


def shortened(config: Any, kept: Sequence[int]) -> Any:
    """The configuration of a model with these of its layers."""
    shorter = deepcopy(config)
    if getattr(config, "layer_types", None):  # before the count, which transformers compares with it
        shorter.layer_types = [config.layer_types[at] for at in kept]
    shorter.num_hidden_layers = len(kept)
    return shorter
