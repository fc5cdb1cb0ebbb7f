"""Multiply-adds, against counts by hand."""

import keras
import pytest
from keras import layers

from converters.multiply_adds import count_multiply_adds
from converters.rewrites.fold_batch_norm import fold_batch_norm
from resnet_edge.model.resnet50 import resnet50


def test_by_hand() -> None:
    x = keras.Input((9, 8, 3))
    y = layers.Conv2D(4, 3, strides=2)(x)  # 4x3 positions x 3*3*3*4
    y = layers.DepthwiseConv2D(2, depth_multiplier=2)(y)  # 3x2 positions x 2*2*4*2
    y = layers.Conv2D(6, 1, groups=2)(y)  # 3x2 positions x 1*1*4*6
    y = layers.SeparableConv2D(5, 2)(y)  # 2x1 positions x (2*2*6 + 6*5)
    y = layers.Dense(7)(layers.Flatten()(y))  # 10*7
    expected = 12 * 108 + 6 * 32 + 6 * 24 + 2 * 54 + 70
    assert count_multiply_adds(keras.Model(x, y)) == expected


def test_models_inside_and_layers_called_twice() -> None:
    conv = layers.Conv2D(3, 3, padding="same")
    inner = keras.Sequential([keras.Input((4, 4, 3)), layers.Conv2D(2, 2)])
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, inner(conv(conv(x))))
    assert count_multiply_adds(model) == 2 * 16 * 81 + 9 * 24


@pytest.mark.parametrize("sequential", [False, True])
def test_a_model_inside_counts_at_the_size_of_its_call(sequential: bool) -> None:
    free = keras.Input((None, None, 3))
    conv = layers.Conv2D(2, 3)
    inner = keras.Sequential([free, conv]) if sequential else keras.Model(free, conv(free))
    outer = keras.Model(free, layers.ReLU()(inner(free)))
    x = keras.Input((6, 5, 3))
    model = keras.Model(x, outer(x))
    assert count_multiply_adds(model) == 4 * 3 * 27 * 2
    assert inner.inputs[0].shape == (None, None, None, 3)


def test_what_other_models_do_with_a_layer_does_not_count() -> None:
    conv = layers.Conv2D(3, 3, padding="same")
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, conv(x))
    conv(keras.Input((40, 40, 3)))
    assert count_multiply_adds(model) == 16 * 81


@pytest.mark.slow
def test_resnet50_at_224() -> None:
    model = resnet50()
    assert count_multiply_adds(model) == 3_857_973_248
    assert count_multiply_adds(fold_batch_norm(model).model) == 3_857_973_248
