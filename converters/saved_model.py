"""TensorFlow SavedModel: a signature from pictures to probabilities, with labels as an asset."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from converters.endpoints import INPUT_NAME, OUTPUT_NAME
from converters.tflite.metadata import label_lines


def export_saved_model(serving: keras.Model, folder: Path, labels: tuple[str, ...]) -> None:
    """Write a SavedModel with a free batch size.

    Args:
        serving: A model made by ``converters.serving.serving_model``.
        folder: A folder that is empty or does not exist yet.
        labels: Class names in output order; they become the asset ``assets/labels.txt``.
    """
    module = tf.Module()
    module.variables_ = [variable.value for variable in serving.variables]

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {OUTPUT_NAME: serving(image, training=False)}

    image = tf.TensorSpec((None, *serving.input_shape[1:]), tf.float32, INPUT_NAME)
    signature = tf.function(serve, input_signature=[image])

    with tempfile.TemporaryDirectory() as scratch:
        names = Path(scratch) / "labels.txt"
        names.write_text(label_lines(labels), encoding="utf-8")
        module.labels = tf.saved_model.Asset(str(names))
        tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
