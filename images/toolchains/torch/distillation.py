"""What a student learns from its teacher: logits, features and attention maps, each a loss of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from layers import evenly_spaced
from training import Batch, Tensor

TERMS = ("logits", "features", "attention", "hard")


class Distillation:
    """The loss of a student: the weighted sum of its terms, a weight of 0 leaving its term out.

    =============  ====================================================================================================
    ``logits``     KL divergence from the teacher's classes, both softened by the temperature T, times T squared
                   (Hinton, Vinyals & Dean 2015)
    ``features``   squared error of the hidden states, relative to the teacher's mean square so that widths and layers
                   weigh alike; the student's pass a learnt projection where the widths differ
                   (Romero et al. 2015; TinyBERT, Jiao et al. 2020)
    ``attention``  of transformers the KL divergence of every head's attention (MobileBERT, Sun et al. 2020), of
                   convolutions the squared distance of normalized spatial maps (Zagoruyko & Komodakis 2017)
    ``hard``       the loss of the labels
    =============  ====================================================================================================

    A student's layers are compared with as many of its teacher's, evenly spaced: those that a copied student starts from.
    Padding counts nowhere.
    """

    def __init__(self, teacher: Any, student: Any, weights: Mapping[str, float], temperature: float) -> None:
        self.teacher, self.temperature = teacher, temperature
        self.weights = {term: weight for term, weight in weights.items() if weight}
        self.history: list[dict[str, float]] = []
        self.maps = {f"output_{what}": True for what in ("hidden_states", "attentions") if self._needs(what)}
        self.projections = self._projections(teacher, student) if "features" in self.weights else []

    def _needs(self, what: str) -> bool:
        convolutions = getattr(self.teacher.config, "num_hidden_layers", None) is None
        wanted = {"features"} | ({"attention"} if convolutions else set())
        return bool(self.weights.keys() & (wanted if what == "hidden_states" else {"attention"} - wanted))

    def __call__(self, student: Any, batch: Batch) -> Tensor:
        """The loss of one batch; its terms are added to ``history``."""
        import torch

        learnt = student(**batch, **self.maps)
        terms = {"hard": learnt.loss}
        if self.weights.keys() - {"hard"}:
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            with torch.no_grad():
                taught = self.teacher(**inputs, **self.maps)
            mask = batch.get("attention_mask")
            terms |= {name: getattr(self, f"_{name}")(learnt, taught, mask) for name in self.weights if name != "hard"}
        self.history.append({name: float(terms[name].detach()) for name in self.weights})
        total: Tensor = sum(weight * terms[name] for name, weight in self.weights.items())
        return total

    def last(self) -> dict[str, float]:
        """Every term's mean over the last tenth of the steps, as ``loss_<term>``."""
        recent = self.history[-max(1, len(self.history) // 10) :]
        return {f"loss_{name}": round(float(np.mean([terms[name] for terms in recent])), 5) for name in self.weights}

    def _logits(self, learnt: Any, taught: Any, mask: Tensor | None) -> Tensor:
        softened = [output.logits / self.temperature for output in (learnt, taught)]
        divergence = _divergence(softened[1].log_softmax(-1), softened[0].log_softmax(-1))
        per_token = divergence.dim() == 2
        return self.temperature**2 * _mean(divergence, mask if per_token else None)

    def _features(self, learnt: Any, taught: Any, mask: Tensor | None) -> Tensor:
        pairs = _paired(learnt.hidden_states[1:], taught.hidden_states[1:])
        terms = []
        for projection, (own, shown) in zip(self.projections, pairs, strict=True):
            error = (projection(own) - shown).square().flatten(2).mean(-1)
            terms.append(_mean(error, mask) / shown.square().mean())
        return sum(terms) / len(terms)

    def _attention(self, learnt: Any, taught: Any, mask: Tensor | None) -> Tensor:
        if self._needs("hidden_states") and learnt.hidden_states[-1].dim() == 4:
            pairs = _paired(learnt.hidden_states[1:], taught.hidden_states[1:])
            terms = [(_spatial_map(own) - _spatial_map(shown)).square().sum(-1).mean() for own, shown in pairs]
        else:
            pairs = _paired(learnt.attentions, taught.attentions)
            tiny = 1e-9  # padded keys have no attention at all
            terms = [_mean(_divergence((shown + tiny).log(), (own + tiny).log()).mean(1), mask) for own, shown in pairs]
        return sum(terms) / len(terms)

    @staticmethod
    def _projections(teacher: Any, student: Any) -> list[Any]:
        """One for each layer of the student: 1 x 1 convolutions between feature maps, nothing where widths agree."""
        import torch

        widths = [getattr(model.config, "hidden_sizes", None) for model in (student, teacher)]
        if not all(widths) or widths[0] == widths[1]:
            layers = len(widths[0]) if widths[0] else student.config.num_hidden_layers
            return [torch.nn.Identity() for _ in range(layers)]
        return [torch.nn.Conv2d(own, shown, 1) for own, shown in zip(*widths, strict=True)]

    def parameters(self) -> list[Any]:
        """What is trained beside the student and thrown away afterwards."""
        return [parameter for projection in self.projections for parameter in projection.parameters()]


def _paired(own: Sequence[Tensor], shown: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each of the student's layers and the teacher's that it is compared with."""
    return [(layer, shown[at]) for layer, at in zip(own, evenly_spaced(len(shown), len(own)), strict=True)]


def _divergence(wanted: Tensor, got: Tensor) -> Tensor:
    """KL(wanted || got) over the last axis, of log-probabilities."""
    return (wanted.exp() * (wanted - got)).sum(-1)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of [batch, tokens] where the mask is 1; without a mask, of everything."""
    return values.mean() if mask is None else (values * mask).sum() / mask.sum()


def _spatial_map(features: Tensor) -> Tensor:
    """Where feature maps are strong: their squares, averaged over channels, as vectors [batch, height * width] of length 1."""
    import torch

    return torch.nn.functional.normalize(features.square().mean(1).flatten(1))
