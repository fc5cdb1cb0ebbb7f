"""An inference graph without variables, from which TFLite and ONNX files are converted."""

from __future__ import annotations

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from converters.endpoints import INPUT_NAME


def freeze(serving: keras.Model, batch: int | None) -> tf.types.experimental.ConcreteFunction:
    """Trace a model and turn its variables into constants.

    Freezing is necessary: a file converted from the bare concrete function of a Keras 3 model has
    no weights.

    Args:
        serving: A model made by ``converters.serving.serving_model``.
        batch: Fixed batch size, or None to leave it free.

    Returns:
        A concrete function ``image (batch, height, width, 3) float32 -> probabilities``.
    """

    def serve(image: tf.Tensor) -> tf.Tensor:
        return serving(image, training=False)

    image = tf.TensorSpec((batch, *serving.input_shape[1:]), tf.float32, INPUT_NAME)
    function = tf.function(serve, input_signature=[image])
    return convert_variables_to_constants_v2(function.get_concrete_function())
