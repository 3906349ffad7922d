"""Magnitude pruning of a Keras model while it is trained on: the smallest weights become zeros, more of them step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="tfmot-prune",
    summary="gradual magnitude pruning during training, by TensorFlow's Model Optimization Toolkit",
    accepts=(Form("keras", "fp32"),),
    source="Zhu & Gupta 2017, To prune, or not to prune, https://arxiv.org/abs/1710.01878; "
    "https://www.tensorflow.org/model_optimization/guide/pruning",
    costs="other",
    calls=("forward",),
    modalities=("image",),
    parameters={
        "sparsity": Parameter(0.5, "share of each tensor's weights that become zero", minimum=0.05, maximum=0.95),
        "epochs": Parameter(8, "passes over the train split; the share is reached after three quarters", minimum=1),
        "learning_rate": Parameter(1e-3, "of Adam", minimum=0.0),
    },
    needs_training_data=True,
)

_UPDATES = 30  # how often the mask is drawn anew


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Prune what has two dimensions or more by the cubic schedule, and write an ordinary Keras model with zeros in it.

    Raises ConversionError where a layer is of a kind that the toolkit cannot prune, where a tensor misses the sparsity by more
    than one weight in a hundred, and after ``tfmot-cluster``, whose centroids the training would take apart.
    """
    from keras_models import MODEL, Examples, finetune, kernels, load, passed, save, share_of_zeros
    from tensorflow_model_optimization import sparsity

    if "tfmot-cluster" in passed(source):
        raise ConversionError("pruning would take the clusters apart: list tfmot-prune before tfmot-cluster")
    model, examples, wanted = load(source, context), Examples.of(context), parameters["sparsity"]
    interval = max(1, examples.steps * parameters["epochs"] * 3 // 4 // _UPDATES)
    end = interval * max(1, examples.steps * parameters["epochs"] * 3 // 4 // interval)
    schedule = sparsity.keras.PolynomialDecay(0.0, wanted, begin_step=0, end_step=end, frequency=interval)
    try:
        pruned = sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    except ValueError as problem:
        raise ConversionError(f"the toolkit cannot prune this model: {problem}") from problem
    masks = [sparsity.keras.UpdatePruningStep()]
    loss = finetune(pruned, examples, parameters["epochs"], parameters["learning_rate"], context, masks)
    save(sparsity.keras.strip_pruning(pruned), source, out)
    before, after = kernels(*source.weights), kernels(out / MODEL)
    shares = [share_of_zeros([tensor]) for tensor in after.values()]
    if min(shares) < wanted - 0.01:
        raise ConversionError(
            f"a tensor reached a sparsity of {min(shares)} instead of {wanted}: train for more epochs"
        )
    effect = {
        "sparsity": share_of_zeros(after.values()),
        "sparsity_before": share_of_zeros(before.values()),
        "min_sparsity_of_a_tensor": min(shares),
        "tensors_pruned": len(after),
        "last_training_loss": round(loss, 4),
    }
    return Made([MODEL], effect=effect)
