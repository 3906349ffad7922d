"""Movement pruning: during fine-tuning the weights that move towards zero become zero."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import WEIGHTS, load_model

CARD = PassCard(
    name="movement",
    summary="set weights that move towards zero in fine-tuning to zero, by PyTorch; formerly nn_pruning; no faster if dense",
    accepts=(Form("hf", "fp32"),),
    source="Sanh, Wolf & Rush 2020, Movement Pruning: Adaptive Sparsity by Fine-Tuning, https://arxiv.org/abs/2005.07683",
    costs="other",
    calls=("forward",),
    modalities=("text", "image"),
    parameters={
        "sparsity": Parameter(0.5, "share of each layer's weights that become zero", minimum=0.01, maximum=0.99),
        "epochs": Parameter(0.0, "passes over the training data; 0: 2, of a CNN 12", minimum=0),
        "batch": Parameter(32, "examples a step", minimum=1),
        "learning_rate": Parameter(0.0, "of the weights, its peak; 0: 0.0001, of a CNN 0.001", minimum=0, maximum=1),
        "score_learning_rate": Parameter(0.01, "of the scores, its peak", minimum=0.00001, maximum=10),
    },
    needs_training_data=True,
)

_DEFAULTS = {"image": (12.0, 1e-3)}  # epochs, learning rate
_OTHERS = (2.0, 1e-4)
_MASK_EVERY = 4  # steps: ranking all scores takes as long as training on a small batch
_WARMUP, _COOLDOWN = 0.1, 0.3  # shares of all steps before sparsity rises, and after


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Learn a score for every weight of the linear and convolutional layers but embeddings and the classifier.

    Of each layer the weights with the highest scores are kept. The share that is kept falls along the cubic schedule of Zhu &
    Gupta (2017). Raises ConversionError where no weight became zero.
    """
    from pruning import save
    from sparsity import effect, prunable, zeros
    from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations
    from training import Examples, Schedule, finetune, freeze_embeddings

    model = load_model(source.path, context.auto_class)
    layers = prunable(model)
    before = zeros(layers)
    freeze_embeddings(model)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    masks = [_mask(layer.weight) for layer in layers.values()]
    for layer, mask in zip(layers.values(), masks, strict=True):
        register_parametrization(layer, "weight", mask)
    epochs, rate = _DEFAULTS.get(context.use.modality, _OTHERS)
    schedule = Schedule(parameters["epochs"] or epochs, parameters["batch"], parameters["learning_rate"] or rate)
    scores = {"params": [mask.scores for mask in masks], "lr": parameters["score_learning_rate"], "weight_decay": 0.0}

    def tighten(done: int, steps: int) -> None:
        if done % _MASK_EVERY == 0 or done == steps:
            for mask in masks:
                mask.prune(scheduled(parameters["sparsity"], done / steps))

    groups = [{"params": weights}, scores]
    trained = finetune(
        model, Examples.of(context), schedule, context, after_step=tighten, groups=groups, span=(0.0, 0.95)
    )
    for layer in layers.values():
        remove_parametrizations(layer, "weight")
    save(model, source, out)
    facts = {"steps": trained.steps, "loss": round(trained.loss, 4)}
    return Made(
        [WEIGHTS], effect={**effect(out, context.auto_class, before), **facts}, extra=dict(source.manifest.extra)
    )


def scheduled(sparsity: float, done: float) -> float:
    """The sparsity when a share ``done`` of all steps is done: 0 at first, then a cubic rise, then ``sparsity``."""
    rising = min(1.0, max(0.0, (done - _WARMUP) / (1 - _WARMUP - _COOLDOWN)))
    return sparsity * (1 - (1 - rising) ** 3)


def _mask(weight: Any) -> Any:
    """A parametrization of ``weight``: it times a mask of 0 and 1, with a trained score for every weight.

    The mask passes gradients straight through to the scores, so that a score's gradient is that of the masked weight times the
    weight: it rises while the weight moves away from zero, and falls while it moves towards it.
    """
    import torch

    class Mask(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.scores = torch.nn.Parameter(torch.zeros_like(weight))
            self.register_buffer("mask", torch.ones_like(weight), persistent=False)

        def forward(self, dense: Any) -> Any:
            return dense * (self.mask + (self.scores - self.scores.detach()))

        def prune(self, sparsity: float) -> None:
            """Mask this share of the weights: those with the lowest scores."""
            scores = self.scores.detach().flatten()
            count = round(sparsity * len(scores))
            if count:
                self.mask.copy_(self.scores.detach() > scores.kthvalue(count).values)

    return Mask()
