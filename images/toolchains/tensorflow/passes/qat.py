"""Quantization-aware training of a Keras model, and its conversion to a TFLite graph in int8."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="qat",
    summary="train with simulated INT8, by TensorFlow's Model Optimization Toolkit; keeps clusters and zeros of earlier passes",
    accepts=(Form("keras", "fp32"),),
    makes=Form("tflite", "int8"),
    source="Jacob et al. 2018, https://arxiv.org/abs/1712.05877; "
    "https://www.tensorflow.org/model_optimization/guide/quantization/training, "
    "https://www.tensorflow.org/model_optimization/guide/combine/collaborative_optimization",
    costs="int8",
    calls=("forward",),
    modalities=("image",),
    parameters={
        "epochs": Parameter(5, "passes over the train split with simulated quantization", minimum=1),
        "learning_rate": Parameter(3e-4, "of Adam", minimum=0.0),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Simulate int8 weights and activations, train, convert what was learnt; the effect is counted in the written graph.

    After ``tfmot-cluster`` the training is cluster-preserving: of the values that share a scale, and filters have a scale per
    channel, no more are different than before. After ``tfmot-prune`` it is sparsity-preserving. Raises ConversionError where a
    layer is of a kind that the toolkit cannot quantize, or where the graph lost the clusters or the zeros.
    """
    import tensorflow as tf
    from keras_models import Examples, finetune, kernels, load, most_distinct, passed, share_of_zeros
    from tensorflow_model_optimization.quantization import keras as quantization
    from tflite_graphs import GRAPH, constants, converter, effect

    model, examples = load(source, context), Examples.of(context)
    name, scheme = _scheme(passed(source))
    try:
        aware = quantization.quantize_apply(quantization.quantize_annotate_model(model), scheme)
    except (RuntimeError, ValueError) as problem:
        raise ConversionError(f"the toolkit cannot quantize this model: {problem}") from problem
    loss = finetune(aware, examples, parameters["epochs"], parameters["learning_rate"], context)
    work = converter(aware)
    work.optimizations = [tf.lite.Optimize.DEFAULT]
    (out / GRAPH).write_bytes(work.convert())
    before = kernels(*source.weights).values()
    found = effect(out / GRAPH, np.int8, aware, [examples.pixels[:128]], model.count_params())
    sparsity = share_of_zeros([constant.values for constant in constants(out / GRAPH, np.int8)])
    if "cluster" in name and found["max_distinct_values_per_scale"] > most_distinct(before):
        raise ConversionError(f"the clusters were lost: {found['max_distinct_values_per_scale']} values share a scale")
    if "sparsity" in name and sparsity < share_of_zeros(before) - 0.01:
        raise ConversionError(f"the zeros were lost: a sparsity of {sparsity} remains")
    return Made([GRAPH], effect={"scheme": name, **found, "sparsity": sparsity, "last_training_loss": round(loss, 4)})


def _scheme(earlier: set[str]) -> tuple[str, Any]:
    """How to train after these passes: a name, and what the toolkit calls a scheme."""
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
        default_8bit_cluster_preserve_quantize_scheme as clusters,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
        default_8bit_prune_preserve_quantize_scheme as zeros,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_scheme

    sparse = "tfmot-prune" in earlier
    if "tfmot-cluster" in earlier:
        scheme = clusters.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=sparse)
        return "cluster- and sparsity-preserving" if sparse else "cluster-preserving", scheme
    if sparse:
        return "sparsity-preserving", zeros.Default8BitPrunePreserveQuantizeScheme()
    return "default", default_8bit_quantize_scheme.Default8BitQuantizeScheme()
