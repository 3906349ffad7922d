"""Tiny Keras models of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from harness.contracts.artifact import Artifact
from tests.passes import tiny

# As the passes set them: later, TensorFlow takes no other number.
tf.config.threading.set_intra_op_parallelism_threads(2)
tf.config.threading.set_inter_op_parallelism_threads(1)


def keras(folder: Path, layers: list[Any]) -> Artifact:
    """A model of these layers, with random weights, in a new folder."""
    tf_keras.utils.set_random_seed(0)
    folder.mkdir()
    model = tf_keras.Sequential([tf_keras.layers.Input((1, tiny.EDGE, tiny.EDGE)), *layers])
    model.save(folder / "model.keras")
    (folder / "config.json").write_text(json.dumps({"num_channels": 1, "image_size": tiny.EDGE}), "utf-8")
    return tiny.artifact(folder, "keras", tiny.IMAGES, ["model.keras"])
