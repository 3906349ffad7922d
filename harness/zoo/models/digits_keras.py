"""A small convolutional network, trained from nothing on handwritten digits.

In legacy Keras, the only one that TensorFlow's model optimization toolkit knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Context, Made
from harness.contracts.task import Row
from harness.zoo import PinnedFile

TASK = "image-classification"
DATASET = "digits"
SOURCES: dict[str, PinnedFile] = {}
IMAGE = "toolchains/tensorflow"
FORM = "keras/fp32"

_EPOCHS = 30
_BATCH = 32
_RATE = 3e-3
_SIZE = 32
_MEAN, _STD = 0.31, 0.38  # of the training images


def train(sources: Mapping[str, Path], rows: Sequence[Row], out: Path, context: Context) -> Made:
    """Adam, cross-entropy; seeded, so the same on one machine."""
    import tensorflow as tf
    import tf_keras

    tf.config.threading.set_intra_op_parallelism_threads(context.threads)
    tf_keras.utils.set_random_seed(context.seed)
    _write_configuration(out)
    images = np.stack([row["image"] for row in rows])[..., None]
    scaled = tf.image.resize(images, (_SIZE, _SIZE), "bilinear", antialias=True).numpy().transpose(0, 3, 1, 2)
    labels = np.array([row["label"] for row in rows])
    model = _network(tf_keras)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(_RATE), loss)
    for epoch in range(_EPOCHS):
        history = model.fit((scaled - _MEAN) / _STD, labels, batch_size=_BATCH, verbose=0).history
        context.progress((epoch + 1) / _EPOCHS, f"epoch {epoch + 1} of {_EPOCHS}, loss {history['loss'][-1]:.3f}")
    trained = _network(tf_keras)  # not compiled: the file would hold the optimizer's state too
    trained.set_weights(model.get_weights())
    trained.save(out / "model.keras")
    note = (
        f"trained by the zoo on {len(rows)} handwritten digits of scikit-learn, {_EPOCHS} epochs, seed {context.seed}"
    )
    return Made(weights=["model.keras"], provenance=[note])


def _network(keras: Any) -> Any:
    """From pixels [batch, 1, 32, 32] to logits [batch, 10].

    Keras wants the channels last; the inputs of every runtime have them first. The transposition is part of the graph, as it
    is in a TFLite graph that was exported from PyTorch, so that it is part of every latency.
    """
    layers = keras.layers
    convolution = {"padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            layers.Input((1, _SIZE, _SIZE), name="pixel_values"),
            layers.Permute((2, 3, 1)),
            layers.Conv2D(16, 3, strides=2, **convolution),
            layers.Conv2D(32, 3, **convolution),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, **convolution),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, name="logits"),
        ],
        name="digits",
    )


def _write_configuration(out: Path) -> None:
    """What a checkpoint of transformers would say: from these files images are prepared, and classes known."""
    config = {"num_channels": 1, "image_size": _SIZE, "id2label": {str(i): str(i) for i in range(10)}}
    processor = {"do_normalize": True, "image_mean": [_MEAN], "image_std": [_STD]}
    (out / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2), "utf-8")
