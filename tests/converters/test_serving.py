"""The exported graph: raw RGB in, probabilities out, whatever the classifier ends in."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from converters.errors import ModelConversionError
from converters.preprocessing import PREPROCESSINGS
from converters.serving import final_activation, serving_model

NONE = PREPROCESSINGS["none"]
Answers = Callable[[keras.Model, np.ndarray], np.ndarray]


def features() -> tuple[keras.KerasTensor, keras.KerasTensor]:
    x = keras.Input((8, 8, 3))
    return x, layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3)(x))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _dense() -> keras.Model:
    x, y = features()
    return keras.Model(x, layers.Dense(4, activation="softmax")(y))


def _activation_layer() -> keras.Model:
    x, y = features()
    return keras.Model(x, layers.Activation("softmax")(layers.Dense(4)(y)))


def _softmax_layer() -> keras.Model:
    x, y = features()
    return keras.Model(x, layers.Softmax()(layers.Dense(4)(y)))


def _softmax_function() -> keras.Model:
    x, y = features()
    return keras.Model(x, keras.ops.softmax(layers.Dense(4)(y)))


def _reshaped() -> keras.Model:
    x = keras.Input((8, 8, 3))
    y = layers.AveragePooling2D(8)(x)
    return keras.Model(x, layers.Flatten()(layers.Conv2D(4, 1, activation="softmax")(y)))


def _dropout_behind() -> keras.Model:
    x, y = features()
    return keras.Model(x, layers.Dropout(0.5)(layers.Dense(4, activation="softmax")(y)))


def _nested() -> keras.Model:
    x = keras.Input((8, 8, 3))
    return keras.Model(x, layers.Activation("linear")(_dense()(x)))


def _sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4, activation="softmax")]
    )


@pytest.mark.parametrize(
    "build",
    [
        _dense,
        _activation_layer,
        _softmax_layer,
        _softmax_function,
        _reshaped,
        _dropout_behind,
        _nested,
        _sequential,
    ],
)
def test_a_softmax_is_found_and_not_doubled(
    build: Callable[[], keras.Model], answers: Answers
) -> None:
    model = build()
    assert final_activation(model) == "softmax"
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3))
    np.testing.assert_allclose(
        answers(serving_model(model, NONE), pictures), answers(model, pictures), atol=1e-6
    )


def test_an_average_of_two_answers_is_not_softened_again(answers: Answers) -> None:
    x, y = features()
    twins = [layers.Dense(4, activation="softmax")(y) for _ in range(2)]
    model = keras.Model(x, layers.Average()(twins))
    assert final_activation(model) == "linear"
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3))
    np.testing.assert_allclose(
        answers(serving_model(model, NONE), pictures), answers(model, pictures), atol=1e-6
    )


def test_logits_get_a_softmax(answers: Answers) -> None:
    x, y = features()
    model = keras.Model(x, layers.Dense(4)(y))
    assert final_activation(model) == "linear"
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3))
    np.testing.assert_allclose(
        answers(serving_model(model, NONE), pictures), softmax(answers(model, pictures)), atol=1e-6
    )


def test_preprocessing_is_inside(answers: Answers) -> None:
    model = _dense()
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype(np.float32)
    caffe = PREPROCESSINGS["caffe"]
    serving = serving_model(model, caffe)
    assert serving.inputs[0].name == "image"
    assert serving.inputs[0].dtype == "float32"
    assert serving.inputs[0].shape == (None, 8, 8, 3)
    np.testing.assert_allclose(
        answers(serving, pictures), answers(model, caffe.apply(pictures)), atol=1e-6
    )


@pytest.mark.parametrize("function", [False, True])
def test_sigmoid_is_refused(function: bool) -> None:
    x, y = features()
    y = layers.Dense(4, activation=None if function else "sigmoid")(y)
    model = keras.Model(x, keras.ops.sigmoid(y) if function else y, name="tags")
    with pytest.raises(ModelConversionError) as caught:
        serving_model(model, NONE)
    assert str(caught.value) == (
        "tags: ends in 'sigmoid'; expected a softmax (or plain logits) over 4 classes; "
        "models with several labels per picture are not supported"
    )


def _shaped(shape: tuple[int | None, ...], units: int = 4) -> keras.Model:
    x = keras.Input(shape)
    y = layers.GlobalAveragePooling2D()(x) if len(shape) == 3 else x
    return keras.Model(x, layers.Dense(units)(y), name="odd")


def _two_outputs() -> keras.Model:
    x, y = features()
    return keras.Model(x, [layers.Dense(4)(y), layers.Dense(4)(y)], name="odd")


def _map() -> keras.Model:
    x = keras.Input((8, 8, 3))
    return keras.Model(x, layers.Conv2D(4, 3)(x), name="odd")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: _shaped((None, 8, 3)),
            "odd: input shape (None, None, 8, 3); expected (batch, height, width, 3) "
            "of a fixed size",
        ),
        (
            lambda: _shaped((8, 8, 1)),
            "odd: input shape (None, 8, 8, 1); expected (batch, height, width, 3) of a fixed size",
        ),
        (
            lambda: _shaped((8,)),
            "odd: input shape (None, 8); expected (batch, height, width, 3) of a fixed size",
        ),
        (
            lambda: _shaped((8, 8, 3), units=1),
            "odd: output shape (None, 1); expected (batch, classes) with at least 2 classes",
        ),
        (
            _map,
            "odd: output shape (None, 6, 6, 4); expected (batch, classes) with at least 2 classes",
        ),
        (
            _two_outputs,
            "odd: 1 inputs and 2 outputs; expected one picture in and one answer out",
        ),
    ],
)
def test_other_shapes_are_refused(build: Callable[[], keras.Model], message: str) -> None:
    with pytest.raises(ModelConversionError) as caught:
        serving_model(build(), NONE)
    assert str(caught.value) == message


def test_half_precision_is_refused_and_the_advice_works(answers: Answers) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, name="c", dtype="mixed_float16")(x))
    model = keras.Model(x, layers.Dense(4, activation="softmax")(y), name="half")
    with pytest.raises(ModelConversionError) as caught:
        serving_model(model, NONE)
    assert str(caught.value) == (
        "half: layer 'c' computes in float16; expected float32, from which lower precisions are "
        "derived; set dtype_policy = 'float32' on every layer and save the model again"
    )
    for layer in model.layers:
        layer.dtype_policy = "float32"
    assert answers(serving_model(model, NONE), np.zeros((1, 8, 8, 3))).dtype == np.float32
