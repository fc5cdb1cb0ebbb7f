"""Batch normalization that no convolution takes up becomes a depthwise convolution of 1x1."""

import keras
import pytest
from keras import layers

from converters.rewrites.fold_batch_norm import fold_batch_norm
from converters.rewrites.scale_channels import scale_channels


def preactivation(x: keras.KerasTensor) -> keras.KerasTensor:
    y = layers.Conv2D(4, 3, activation="relu")(x)
    z = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(layers.BatchNormalization(name="n")(y)))
    return layers.BatchNormalization(name="m", scale=False, axis=3)(layers.Concatenate()([y, z]))


def shared(x: keras.KerasTensor) -> keras.KerasTensor:
    norm = layers.BatchNormalization(name="n", center=False)
    y = layers.Conv2D(3, 1, activation="relu")(norm(x))
    return norm(y)


def test_every_one_is_replaced(check) -> None:
    x = keras.Input((8, 8, 3))
    model = check(scale_channels, keras.Model(x, preactivation(x)), 2)
    for name in ("n", "m"):
        assert type(model.get_layer(name)) is layers.DepthwiseConv2D
        assert model.get_layer(name).kernel.shape[:2] == (1, 1)


def test_a_layer_that_is_called_twice(check) -> None:
    x = keras.Input((8, 8, 3))
    check(scale_channels, keras.Model(x, shared(x)), 1)


def test_inside_a_nested_model(check) -> None:
    inner = keras.Input((8, 8, 3))
    base = keras.Model(inner, preactivation(inner), name="base")
    x = keras.Input((8, 8, 3))
    check(scale_channels, keras.Model(x, layers.GlobalAveragePooling2D()(base(x))), 2)


def test_batch_statistics_and_vectors_stay(check) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.BatchNormalization()(layers.ReLU()(x), training=True)
    y = layers.BatchNormalization(axis=1)(y)
    y = layers.BatchNormalization()(layers.ReLU()(layers.GlobalAveragePooling2D()(y)))
    check(scale_channels, keras.Model(x, y), 0)


@pytest.mark.parametrize(
    "layer",
    [
        layers.SeparableConv2D(5, 3, depth_multiplier=2, use_bias=False),
        layers.Conv2DTranspose(5, 3, strides=2),
        layers.Dense(5),
        layers.Conv2D(6, 3, groups=3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_linear_layers_take_it_up(check, layer: layers.Layer) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.ReLU()(layers.BatchNormalization()(type(layer).from_config(layer.get_config())(x)))
    check(fold_batch_norm, keras.Model(x, y), 1)


def test_a_dense_layer_of_vectors_takes_it_up(check) -> None:
    x = keras.Input((4, 4, 3))
    y = layers.Dense(5, use_bias=False)(layers.Flatten()(x))
    check(fold_batch_norm, keras.Model(x, layers.BatchNormalization()(y)), 1)
