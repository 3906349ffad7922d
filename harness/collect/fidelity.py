"""The fidelity gate: how far a method's outputs may go from the original's before its speed is no longer believed.

The table is wide on purpose. It does not say which loss of quality is acceptable, which every reader decides; it says from
where on a row must be taken for broken: a conversion that computes something else, or a method that ruined the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.contracts.cards import TOLERANCES
from harness.contracts.task import Metric


@dataclass(frozen=True)
class Bounds:
    """What one tolerance allows; ``relative_loss`` is of the metric, such as 0.1 for a tenth of F1 or of accuracy."""

    top1_agreement: float  # at least
    kl_divergence: float  # at most, nats
    ratio: float  # at most, over the original's: of a metric that is told as a ratio, such as perplexity
    relative_loss: float  # at most, of all others


#: By the names of the tolerances, from narrow to wide. A method of several passes has the widest of theirs.
BOUNDS = {
    "exact": Bounds(0.995, 0.001, 1.005, 0.01),  # other kernels, the same weights
    "fp16": Bounds(0.98, 0.005, 1.01, 0.01),
    "bf16": Bounds(0.95, 0.02, 1.03, 0.02),
    "int8": Bounds(0.85, 0.15, 1.15, 0.05),
    "int4": Bounds(0.6, 0.6, 1.6, 0.15),
    "other": Bounds(0.4, 1.5, 2.5, 0.3),  # pruned, clustered, distilled: other weights
}


def tolerance(passes: Iterable[Mapping[str, Any]]) -> str:
    """The tolerance of a method made of these passes, as an artifact's manifest records them: the widest of what they cost.

    A pass that says nothing of it is of an artifact that an earlier version made: it may cost anything.
    """
    costs = (entry.get("costs") for entry in passes)
    told = (cost if cost in TOLERANCES else TOLERANCES[-1] for cost in costs)
    return max(told, key=TOLERANCES.index, default=TOLERANCES[0])


def problem(name: str, fidelity: Mapping[str, Any], metric: Metric, ours: float, theirs: float) -> str | None:
    """Why a cell counts as diverged, or None.

    ``ours`` and ``theirs`` are the values of the metric of the cell and of the reference. What is not a number is outside
    every bound.
    """
    bound = BOUNDS[name]
    agreement, divergence = fidelity["top1_agreement"], fidelity["kl_divergence"]
    if not agreement >= bound.top1_agreement:
        found = f"its first choice is the original's at {agreement:.1%} of the positions"
        return f"{found}, {name} needs {bound.top1_agreement:.1%}"
    if not divergence <= bound.kl_divergence:
        found = f"its outputs are {divergence:.3g} nats (KL divergence) from the original's"
        return f"{found}, {name} allows {bound.kl_divergence:g}"
    if metric.ratio:
        if not ours <= bound.ratio * theirs:
            return f"its {metric.name} is {ours / theirs:.3g} times the original's, {name} allows {bound.ratio:g}"
        return None
    loss = (theirs - ours) / theirs * (1 if metric.higher_is_better else -1) if theirs else math.nan
    if theirs and not loss <= bound.relative_loss:
        return f"its {metric.name} is {loss:.1%} worse than the original's, {name} allows {bound.relative_loss:.0%}"
    return None
