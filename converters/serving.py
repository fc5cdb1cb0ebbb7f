"""The exported graph: raw RGB pictures in, probabilities out. Plain Keras, for any backend."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from converters.endpoints import INPUT_NAME, OUTPUT_NAME
from converters.errors import ModelConversionError
from converters.preprocessing import Preprocessing


def serving_model(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """Add the preprocessing to a classifier, and a softmax if it ends in logits.

    Args:
        model: A classifier ``(batch, height, width, 3) -> (batch, classes)``.
        preprocessing: The normalization that ``model`` expects and does not do itself.

    Returns:
        A functional model: raw RGB in [0, 255], float32 ``(batch, height, width, 3)`` in,
        probabilities float32 ``(batch, classes)`` out.

    Raises:
        ModelConversionError: The model is not a classifier of RGB pictures of a fixed size, or it
            computes in less than float32.
    """
    shape, classes = _check_classifier(model)
    image = keras.Input(shape, name=INPUT_NAME, dtype="float32")
    answer = model(preprocessing.apply(image))
    match final_activation(model):
        case "softmax":
            pass
        case "linear" if _answers_probabilities(model, shape):
            pass
        case "linear":
            answer = layers.Softmax(name=OUTPUT_NAME, dtype="float32")(answer)
        case other:
            raise ModelConversionError(
                f"{model.name}: ends in {other!r}; expected a softmax (or plain logits) over "
                f"{classes} classes; models with several labels per picture are not supported"
            )
    return keras.Model(image, answer, name="serving")


def final_activation(model: keras.Model) -> str:
    """Return the name of the activation that makes the model's output, for instance ``softmax``.

    Layers that change no value are skipped. ``linear`` means that no activation was found.
    """
    tensor = model.outputs[0]
    while True:
        history = tensor._keras_history
        layer = history.operation
        if isinstance(layer, keras.Model):
            tensor = layer.outputs[history.tensor_index]
            continue
        name = activation_name(layer)
        if name != "linear" or not isinstance(layer, _WITHOUT_EFFECT):
            return name
        tensor = layer._inbound_nodes[history.node_index].input_tensors[0]


_WITHOUT_EFFECT = (
    layers.Activation,  # a linear one
    layers.Dropout,
    layers.Flatten,
    layers.Identity,
    layers.Reshape,
)


def activation_name(layer: keras.Operation) -> str:
    """Return the name of the activation that a layer applies at its end; ``linear`` for none."""
    if activation := getattr(layer, "activation", None):
        return str(activation.__name__)
    if type(layer).__name__ in ("Softmax", "Sigmoid"):  # a layer, or a function of keras.ops
        return type(layer).__name__.lower()
    return "linear"


def _answers_probabilities(model: keras.Model, shape: tuple[int, int, int]) -> bool:
    """True if two pictures of noise get answers that are not negative and each sum to 1.

    The graph does not always tell: an average of two softmax answers ends in no activation. A
    second softmax would flatten such probabilities without any error.
    """
    noise = np.random.default_rng(0).uniform(-100, 100, (2, *shape)).astype(np.float32)
    answers = np.asarray(keras.ops.convert_to_numpy(model(noise, training=False)), np.float64)
    return bool((answers >= 0).all() and np.allclose(answers.sum(axis=1), 1, rtol=0, atol=1e-3))


def _check_classifier(model: keras.Model) -> tuple[tuple[int, int, int], int]:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelConversionError(
            f"{model.name}: {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "expected one picture in and one answer out"
        )
    picture, answer = model.inputs[0].shape, model.outputs[0].shape
    if len(picture) != 4 or None in picture[1:] or picture[-1] != 3:
        raise ModelConversionError(
            f"{model.name}: input shape {picture}; expected (batch, height, width, 3) "
            "of a fixed size"
        )
    if len(answer) != 2 or answer[1] is None or answer[1] < 2:
        raise ModelConversionError(
            f"{model.name}: output shape {answer}; expected (batch, classes) "
            "with at least 2 classes"
        )
    for layer in model._flatten_layers():
        if layer.compute_dtype in ("float16", "bfloat16"):
            raise ModelConversionError(
                f"{model.name}: layer {layer.name!r} computes in {layer.compute_dtype}; expected "
                "float32, from which lower precisions are derived; set dtype_policy = 'float32' on "
                "every layer and save the model again"
            )
    return (int(picture[1]), int(picture[2]), 3), int(answer[1])
