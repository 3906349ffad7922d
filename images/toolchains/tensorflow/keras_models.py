"""Keras models as artifacts hold them, and the short training that the passes on them share."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.artifact import MANIFEST, Artifact, Context, ConversionError
from harness.toolchain.data import training_examples

MODEL = "model.keras"
_BATCH = 32


@dataclass(frozen=True)
class Examples:
    """Labelled images, prepared for the model: ``pixels`` [images, channels, height, width], ``labels`` [images]."""

    pixels: Array
    labels: Array

    @classmethod
    def of(cls, context: Context) -> Examples:
        """The train split of the step."""
        items = training_examples(context)
        return cls(np.stack([item["pixel_values"] for item in items]), np.stack([item["labels"] for item in items]))

    @property
    def steps(self) -> int:
        """Optimizer steps that one epoch takes."""
        return math.ceil(len(self.pixels) / _BATCH)


def load(source: Artifact, context: Context) -> Any:
    """The Keras model of an artifact; from here on TensorFlow is seeded, deterministic and keeps to the step's threads."""
    import tensorflow as tf
    import tf_keras

    tf.config.threading.set_intra_op_parallelism_threads(context.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(context.seed)
    (file,) = source.weights
    return tf_keras.models.load_model(file, compile=False)


def save(model: Any, source: Artifact, out: Path) -> None:
    """Write the model as ``model.keras`` without any state of an optimizer, and what belongs to the artifact beside it."""
    import tf_keras

    for file in source.path.iterdir():
        if file.is_file() and file not in source.weights and file.name != MANIFEST:
            shutil.copyfile(file, out / file.name)
    plain = tf_keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    plain.save(out / MODEL)


def kernels(file: Path) -> dict[str, Array]:
    """Name -> values of the matrices and filters in a Keras file: every weight of two dimensions or more."""
    import tf_keras

    weights = tf_keras.models.load_model(file, compile=False).weights
    return {weight.name: weight.numpy() for weight in weights if len(weight.shape) > 1}


def finetune(
    model: Any, examples: Examples, epochs: int, rate: float, context: Context, callbacks: Sequence[Any] = ()
) -> float:
    """Train in place with Adam on the cross-entropy of the logits; returns the loss of the last epoch.

    Raises ConversionError where the loss stops being a number.
    """
    import tf_keras

    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(rate), loss)
    last = math.nan
    for epoch in range(epochs):
        history = model.fit(
            examples.pixels, examples.labels, batch_size=_BATCH, epochs=epoch + 1, initial_epoch=epoch,
            callbacks=list(callbacks), verbose=0,
        )  # fmt: skip
        last = float(history.history["loss"][-1])
        if not math.isfinite(last):
            raise ConversionError(f"training diverged in epoch {epoch + 1} of {epochs}: lower learning_rate")
        context.progress((epoch + 1) / (epochs + 1), f"epoch {epoch + 1} of {epochs}, loss {last:.3f}")
    return last


def most_distinct(tensors: Iterable[Array]) -> int:
    """The largest number of different values in one tensor."""
    return max(len(np.unique(tensor)) for tensor in tensors)


def share_of_zeros(tensors: Iterable[Array]) -> float:
    """Zeros among all numbers of the tensors, in 0..1."""
    flat = np.concatenate([tensor.ravel() for tensor in tensors])
    return round(float((flat == 0).mean()), 4)


def passed(source: Artifact) -> set[str]:
    """Names of the passes that made the artifact."""
    return {entry.name for entry in source.manifest.passes}
