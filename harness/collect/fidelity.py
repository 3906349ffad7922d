"""The fidelity gate: how far a method's outputs may go from the original's before its speed is no longer believed.

The table is wide on purpose. It does not say which loss of quality is acceptable, which every reader decides; it says from
where on a row must be taken for broken: a conversion that computes something else, or a method that ruined the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.results import PassRecord


@dataclass(frozen=True)
class Tolerance:
    """The bounds of one group of methods; ``relative_loss`` is of the metric, such as 0.1 for a tenth of F1 or of accuracy."""

    top1_agreement: float  # at least
    kl_divergence: float  # at most, nats
    perplexity_ratio: float  # at most, over the original's
    relative_loss: float  # at most


#: From narrow to wide. A method of several passes has the widest of theirs.
TOLERANCES = {
    "exact": Tolerance(0.995, 0.001, 1.005, 0.01),  # other kernels, the same weights
    "fp16": Tolerance(0.98, 0.005, 1.01, 0.01),
    "bf16": Tolerance(0.95, 0.02, 1.03, 0.02),
    "int8": Tolerance(0.85, 0.15, 1.15, 0.05),
    "int4": Tolerance(0.6, 0.6, 1.6, 0.15),
    "other": Tolerance(0.4, 1.5, 2.5, 0.3),  # pruned, clustered, distilled: other weights; and what is not in PASSES
}

#: The tolerance of a pass, by its name.
PASSES = {
    "optimum": "exact",
    "fp16": "fp16",
    "bf16": "bf16",
    **dict.fromkeys(("int8-dynamic", "int8-static", "torchao-int8", "qat"), "int8"),
    **dict.fromkeys(("int4", "gptq", "awq"), "int4"),
}
#: Of ``gguf``, by the bits in the name of its type, such as Q4_K_M.
_GGUF = {"8": "int8", "6": "int8", "5": "int4", "4": "int4"}


def tolerance(passes: Iterable[PassRecord]) -> str:
    """The name of the tolerance of a method that is made of these passes."""
    order = list(TOLERANCES)
    return max((_of(record) for record in passes), key=order.index, default="exact")


def _of(record: PassRecord) -> str:
    if record.name == "gguf":
        bits = next((letter for letter in record.parameters["type"] if letter.isdigit()), "")
        return _GGUF.get(bits, "other")
    return PASSES.get(record.name, "other")


def problem(
    name: str, fidelity: Mapping[str, Any], score: Mapping[str, Any], reference: Mapping[str, Any]
) -> str | None:
    """Why a cell counts as diverged, or None.

    ``score`` and ``reference`` are the records of the cell's evaluation and of the reference's. What is not a number is
    outside every bound.
    """
    bound = TOLERANCES[name]
    agreement, divergence = fidelity["top1_agreement"], fidelity["kl_divergence"]
    if not agreement >= bound.top1_agreement:
        found = f"its first choice is the original's at {agreement:.1%} of the positions"
        return f"{found}, {name} needs {bound.top1_agreement:.1%}"
    if not divergence <= bound.kl_divergence:
        found = f"its outputs are {divergence:.3g} nats (KL divergence) from the original's"
        return f"{found}, {name} allows {bound.kl_divergence:g}"
    ours, theirs = float(score["value"]), float(reference["value"])
    if score["metric"] == "perplexity":
        if not ours <= bound.perplexity_ratio * theirs:
            found = f"its perplexity is {ours / theirs:.3g} times the original's"
            return f"{found}, {name} allows {bound.perplexity_ratio:g}"
        return None
    loss = (theirs - ours) / theirs * (1 if score["higher_is_better"] else -1) if theirs else math.nan
    if theirs and not loss <= bound.relative_loss:
        return f"its {score['metric']} is {loss:.1%} worse than the original's, {name} allows {bound.relative_loss:.0%}"
    return None
