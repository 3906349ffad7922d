"""The fidelity gate: how far a method's outputs may go from the original's before its speed is no longer believed.

The table is wide on purpose. It does not say which loss of quality is acceptable, which every reader decides; it says from
where on a row must be taken for broken: a conversion that computes something else, or a method that ruined the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.contracts.cards import TOLERANCES, Form
from harness.contracts.record import FidelityRecord, MetricRecord
from harness.contracts.task import Metric


@dataclass(frozen=True)
class Tolerance:
    """What one tolerance allows; ``relative_loss`` is of the metric, such as 0.1 for a tenth of F1 or of accuracy."""

    top1_agreement: float  # at least
    kl_divergence: float  # at most, nats
    ratio: float  # at most, over the original's, of metrics that are told as a ratio (perplexity)
    relative_loss: float  # at most


#: From narrow to wide. A method of several passes has the widest of theirs.
BOUNDS = {
    "exact": Tolerance(0.995, 0.001, 1.005, 0.01),  # other kernels, the same weights
    "fp16": Tolerance(0.98, 0.005, 1.01, 0.01),
    "bf16": Tolerance(0.95, 0.02, 1.03, 0.02),
    "int8": Tolerance(0.85, 0.15, 1.15, 0.05),
    "int4": Tolerance(0.6, 0.6, 1.6, 0.15),
    "other": Tolerance(0.4, 1.5, 2.5, 0.3),  # pruned, clustered, distilled: other weights
}


def tolerance(costs: Iterable[str]) -> str:
    """The tolerance of a method, of what each of its passes says it may cost: the widest; ``exact`` where there are none."""
    return max(costs, key=TOLERANCES.index, default=TOLERANCES[0])


def cost_of(form: Form) -> str:
    """What the stored precision alone may cost: a source may be in it without any pass.

    llama.cpp rounds activations to 8 bits before it multiplies by quantized weights, whatever types a GGUF file mixes.
    """
    if form == Form("gguf", "mixed"):
        return "int8"
    return form.precision if form.precision in ("fp16", "bf16") else TOLERANCES[0]


def problem(
    name: str, fidelity: FidelityRecord, ours: MetricRecord, theirs: MetricRecord, metric: Metric
) -> str | None:
    """Why a cell counts as diverged by the tolerance of that name, or None.

    ``ours`` and ``theirs`` are the main metric of the cell and of the reference. What is not a number is outside every bound.
    """
    bound = BOUNDS[name]
    if not fidelity.top1_agreement >= bound.top1_agreement:
        found = f"its first choice is the original's at {fidelity.top1_agreement:.1%} of the positions"
        return f"{found}, {name} needs {bound.top1_agreement:.1%}"
    if not fidelity.kl_divergence <= bound.kl_divergence:
        found = f"its outputs are {fidelity.kl_divergence:.3g} nats (KL divergence) from the original's"
        return f"{found}, {name} allows {bound.kl_divergence:g}"
    called = metric.words.get("en", metric.name)
    if metric.ratio:
        if not ours.value <= bound.ratio * theirs.value:
            found = f"its {called} is {ours.value / theirs.value:.3g} times the original's"
            return f"{found}, {name} allows {bound.ratio:g}"
        return None
    if not theirs.value:
        return None
    loss = (theirs.value - ours.value) / theirs.value * (1 if metric.higher_is_better else -1)
    if not loss <= bound.relative_loss:
        return f"its {called} is {loss:.1%} worse than the original's, {name} allows {bound.relative_loss:.0%}"
    return None
