"""Layers that only training needs are dropped; layers that answers depend on stay."""

from collections.abc import Callable
from functools import partial

import keras
import pytest
from keras import layers

from converters.rewrites.drop_inference_no_ops import drop_inference_no_ops
from converters.rewrites.fold_batch_norm import fold_batch_norm


@pytest.fixture(name="drop")
def _drop(check) -> Callable[[keras.Model, int], keras.Model]:
    return partial(check, drop_inference_no_ops)


def test_every_kind(drop) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.GaussianNoise(0.1)(x)
    y = layers.ActivityRegularization(0.1)(layers.Conv2D(4, 3)(y))
    y = layers.SpatialDropout2D(0.1)(layers.Activation("linear")(y))
    y = layers.GaussianDropout(0.1)(layers.AlphaDropout(0.1)(layers.Identity()(y)))
    y = layers.Dropout(0.1)(layers.Flatten()(y))
    dropped = drop(keras.Model(x, layers.Dense(3)(y)), 8)
    kinds = [type(layer) for layer in dropped.layers]
    assert kinds == [layers.InputLayer, layers.Conv2D, layers.Flatten, layers.Dense]


def test_a_batch_norm_behind_a_dropout_can_be_folded(drop) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.BatchNormalization()(layers.Dropout(0.1)(layers.Conv2D(4, 3)(x)))
    model = keras.Model(x, y)
    assert fold_batch_norm(model).count == 0
    assert fold_batch_norm(drop(model, 1)).count == 1


def test_models_inside_models(drop) -> None:
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Dropout(0.1), layers.Conv2D(4, 3)])
    x = keras.Input((8, 8, 3))
    drop(keras.Model(x, layers.ReLU()(inner(x))), 1)


def test_an_output_keeps_its_name(drop) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.Dense(3)(layers.Flatten()(layers.ReLU()(x)))
    model = keras.Model(x, layers.Activation("linear", name="answer")(y))
    assert drop(model, 0).output_names == ["answer"]


def test_what_has_an_effect_stays(drop) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.Flatten()(layers.Activation("tanh")(layers.Activation("relu")(x)))
    drop(keras.Model(x, layers.Dense(3)(y)), 0)


def test_dropout_that_is_wanted_in_inference_stays() -> None:
    """Some draw several answers to see how sure a network is."""
    x = keras.Input((8, 8, 3))
    y = layers.Dropout(0.5)(layers.Flatten()(x), training=True)
    model = keras.Model(x, layers.Dense(3)(y))
    assert drop_inference_no_ops(model).model is model


def test_augmentation_is_dropped(check) -> None:
    x = keras.Input((12, 12, 3))
    y = layers.RandomFlip()(layers.RandomRotation(0.1)(layers.RandomZoom(0.1)(x)))
    y = layers.RandomContrast(0.1)(layers.RandomTranslation(0.1, 0.1)(y))
    y = layers.RandomBrightness(0.1, value_range=(-200, 200))(y)
    check(drop_inference_no_ops, keras.Model(x, layers.Conv2D(4, 3)(y)), 6)
