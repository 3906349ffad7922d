"""Weight clustering of a Keras model: every matrix and filter keeps a few different values, which are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="tfmot-cluster",
    summary="k-means clustering of weights, centroids trained on, by TensorFlow's Model Optimization Toolkit",
    accepts=(Form("keras", "fp32"),),
    source="Han, Mao & Dally 2016, Deep Compression, https://arxiv.org/abs/1510.00149; "
    "https://www.tensorflow.org/model_optimization/guide/clustering",
    costs="other",
    calls=("forward",),
    modalities=("image",),
    parameters={
        "clusters": Parameter(16, "different values that a tensor keeps; 16 are four bits", minimum=2, maximum=256),
        "epochs": Parameter(5, "passes over the train split to adjust the centroids", minimum=1),
        "learning_rate": Parameter(3e-4, "of Adam", minimum=0.0),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Cluster what has two dimensions or more, train the centroids, and write an ordinary Keras model.

    Centroids start by k-means++ (Arthur & Vassilvitskii 2007). After ``tfmot-prune`` zeros stay zeros. Raises ConversionError
    where a layer is of a kind that the toolkit cannot cluster, or a tensor holds more values than asked.
    """
    from keras_models import MODEL, Examples, finetune, kernels, load, most_distinct, passed, save, share_of_zeros
    from tensorflow_model_optimization.clustering import keras as clustering
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster as experimental

    model = load(source, context)
    start = clustering.CentroidInitialization.KMEANS_PLUS_PLUS
    sparse = "tfmot-prune" in passed(source)
    try:
        # The public function keeps no zeros; the toolkit documents the experimental one for that.
        clustered = experimental.cluster_weights(model, parameters["clusters"], start, preserve_sparsity=sparse)
    except ValueError as problem:
        raise ConversionError(f"the toolkit cannot cluster this model: {problem}") from problem
    loss = finetune(clustered, Examples.of(context), parameters["epochs"], parameters["learning_rate"], context)
    save(clustering.strip_clustering(clustered), source, out)
    before, after = kernels(*source.weights), kernels(out / MODEL)
    most = most_distinct(after.values())
    if most > parameters["clusters"]:
        raise ConversionError(f"a tensor keeps {most} different values instead of {parameters['clusters']}")
    effect = {
        "tensors_clustered": len(after),
        "max_distinct_values_per_tensor": most,
        "max_distinct_values_per_tensor_before": most_distinct(before.values()),
        "sparsity": share_of_zeros(after.values()),
        "last_training_loss": round(loss, 4),
    }
    return Made([MODEL], effect=effect)
