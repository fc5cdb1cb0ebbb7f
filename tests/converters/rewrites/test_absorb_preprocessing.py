"""Normalization inside a model becomes its preprocessing."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops

from converters.preprocessing import PREPROCESSINGS
from converters.rewrites.absorb_preprocessing import absorb_preprocessing

Begin = Callable[[keras.KerasTensor], keras.KerasTensor]
NONE = PREPROCESSINGS["none"]


def body(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    return layers.Dense(3)(layers.GlobalAveragePooling2D()(y))


def normalization(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Normalization(mean=[10.0, 20.0, 30.0], variance=[4.0, 9.0, 16.0])(x)


def nested(x: keras.KerasTensor) -> keras.KerasTensor:
    inner = keras.Input((8, 8, 3))
    return keras.Model(inner, body(layers.Rescaling(1 / 255)(inner)), name="base")(x)


@pytest.mark.parametrize(
    ("begin", "reverse", "offset", "scale"),
    [
        (layers.Rescaling(1 / 255), False, (0, 0, 0), (1 / 255,) * 3),
        (layers.Rescaling(1 / 127.5, -1), False, (127.5,) * 3, (1 / 127.5,) * 3),
        (normalization, False, (10, 20, 30), (1 / 2, 1 / 3, 1 / 4)),
        # Two in a row: ((x / 255) - 0.5) / 0.25
        (
            lambda x: (layers.Rescaling(1 / 255)(x) - 0.5) / 0.25,
            False,
            (127.5,) * 3,
            (4 / 255,) * 3,
        ),
        (keras.applications.resnet50.preprocess_input, True, (103.939, 116.779, 123.68), (1, 1, 1)),
        (keras.applications.mobilenet_v2.preprocess_input, False, (127.5,) * 3, (1 / 127.5,) * 3),
        (
            keras.applications.densenet.preprocess_input,
            False,
            (123.675, 116.28, 103.53),
            (1 / 58.395, 1 / 57.12, 1 / 57.375),
        ),
        (lambda x: layers.Dropout(0.1)(layers.RandomFlip()(x) / 2.0), False, (0, 0, 0), (0.5,) * 3),
        (lambda x: layers.Identity()(x[..., ::-1]), True, (0, 0, 0), (1, 1, 1)),
    ],
)
def test_what_a_model_begins_with(answers, begin: Begin, reverse, offset, scale) -> None:
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, body(begin(x)))
    rewritten, found = absorb_preprocessing(model, NONE)
    assert rewritten.count == 1
    assert found.reverse_channels == reverse
    np.testing.assert_allclose(found.offset, offset, atol=1e-4)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-6)
    pictures = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    again = answers(rewritten.model, found.apply(pictures))
    np.testing.assert_allclose(again, answers(model, pictures), rtol=1e-4, atol=1e-5)
    assert len(rewritten.model.layers) == 4


def test_behind_a_preprocessing_of_its_own(answers) -> None:
    """BGR, minus the mean, then a tenth: 0.1 * (x - mean)."""
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, body(layers.Rescaling(0.1, 2.0)(x)))
    caffe = PREPROCESSINGS["caffe"]
    rewritten, found = absorb_preprocessing(model, caffe)
    assert found.reverse_channels
    np.testing.assert_allclose(found.offset, np.array(caffe.offset) - 20, atol=1e-4)
    np.testing.assert_allclose(found.scale, (0.1, 0.1, 0.1), rtol=1e-6)
    pictures = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(
        answers(rewritten.model, found.apply(pictures)),
        answers(model, caffe.apply(pictures)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_at_the_beginning_of_a_nested_model(answers) -> None:
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Softmax()(nested(x)))
    rewritten, found = absorb_preprocessing(model, NONE)
    np.testing.assert_allclose(found.scale, (1 / 255,) * 3, rtol=1e-6)
    pictures = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(
        answers(rewritten.model, found.apply(pictures)), answers(model, pictures), rtol=1e-4
    )


@pytest.mark.parametrize(
    "begin",
    [
        lambda x: ops.abs(x - 100.0),
        lambda x: x / ops.max(x, axis=(1, 2, 3), keepdims=True),
        lambda x: ops.flip(x, axis=1),
        lambda x: ops.stack([x[..., 1], x[..., 0], x[..., 2]], axis=-1),
        lambda x: layers.Concatenate()([x / 2.0, x])[..., 2:5],
        lambda x: x * 0.0,
    ],
)
def test_what_is_no_normalization_stays(begin: Begin) -> None:
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, body(begin(x)))
    rewritten, found = absorb_preprocessing(model, NONE)
    assert (rewritten.model, found) == (model, NONE)


def test_a_picture_that_something_else_reads_too() -> None:
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Add()([body(layers.Rescaling(1 / 255)(x)), body(x)]))
    assert absorb_preprocessing(model, NONE)[0].model is model
