"""The graph that is exported: raw RGB pictures in, probabilities out. Plain Keras, any backend."""

from __future__ import annotations

import keras
from keras import layers

from converters.errors import ConversionError
from converters.preprocessing import Preprocessing

INPUT_NAME = "image"
OUTPUT_NAME = "probabilities"


def serving_model(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """Put the preprocessing in front of a classifier and, where it ends in logits, a softmax behind.

    Args:
        model: A classifier ``(batch, height, width, 3) -> (batch, classes)``.
        preprocessing: What ``model`` expects and does not do itself.

    Returns:
        A functional model: raw RGB in [0, 255], float32 ``(batch, height, width, 3)`` in, probabilities
        float32 ``(batch, classes)`` out.

    Raises:
        ConversionError: The model is no classifier of RGB pictures of a fixed size.
    """
    shape, classes = _check_classifier(model)
    image = keras.Input(shape, name=INPUT_NAME, dtype="float32")
    answer = model(preprocessing.apply(image))
    match final_activation(model):
        case "softmax":
            pass
        case "linear":
            answer = layers.Softmax(name=OUTPUT_NAME, dtype="float32")(answer)
        case other:
            raise ConversionError(
                f"{model.name}: ends in {other!r}; expected a softmax (or plain logits) over "
                f"{classes} classes; models with several labels per picture are not supported"
            )
    return keras.Model(image, answer, name="serving")


def final_activation(model: keras.Model) -> str:
    """Return the name of the activation the model's output comes from, for instance ``softmax``."""
    layer = model
    while isinstance(layer, keras.Model):
        layer = (
            layer.layers[-1]
            if isinstance(layer, keras.Sequential)
            else layer.output._keras_history.operation
        )
    if isinstance(layer, layers.Softmax):
        return "softmax"
    if isinstance(layer, layers.Dropout):
        raise ConversionError(f"{model.name}: ends in Dropout layer {layer.name!r}; end it in a softmax")
    activation = getattr(layer, "activation", None)
    return "linear" if activation is None else str(activation.__name__)


def _check_classifier(model: keras.Model) -> tuple[tuple[int, int, int], int]:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConversionError(
            f"{model.name}: {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "expected one picture in and one answer out"
        )
    picture, answer = model.inputs[0].shape, model.outputs[0].shape
    if len(picture) != 4 or None in picture[1:] or picture[-1] != 3:
        raise ConversionError(
            f"{model.name}: input shape {picture}; expected (batch, height, width, 3) of a fixed size"
        )
    if len(answer) != 2 or answer[1] is None or answer[1] < 2:
        raise ConversionError(
            f"{model.name}: output shape {answer}; expected (batch, classes) with at least 2 classes"
        )
    return (int(picture[1]), int(picture[2]), 3), int(answer[1])
