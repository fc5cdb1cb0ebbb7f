"""Zeros are merged where ``same`` has the same ones, and nowhere else."""

from collections.abc import Callable
from functools import partial

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from converters.rewrites.merge_padding import merge_padding


@pytest.fixture(name="merge")
def _merge(check) -> Callable[[keras.Model, int], keras.Model]:
    return partial(check, merge_padding)


def padded(
    zeros: object, convolution: layers.Layer, shape: tuple[int | None, ...] = (12, 12, 3)
) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, convolution(layers.ZeroPadding2D(zeros, name="zeros")(x)))


def test_stride_one(merge) -> None:
    merged = merge(padded(1, layers.Conv2D(4, 3, name="conv")), 1)
    assert merged.get_layer("conv").padding == "same"
    assert len(merged.layers) == 2


def test_stride_two_as_mobile_networks_pad(merge) -> None:
    conv = layers.DepthwiseConv2D(3, strides=2)
    merge(padded(((0, 1), (0, 1)), conv), 1)
    merge(padded(1, layers.Conv2D(4, 3, strides=2), (13, 15, 3)), 1)
    merge(padded(1, layers.Conv2D(4, 3, strides=2)), 0)  # resnet: ``same`` has none in front


def test_dilation(merge) -> None:
    merge(padded(2, layers.Conv2D(4, 3, dilation_rate=2)), 1)


def test_a_free_size(merge) -> None:
    merge(padded(1, layers.Conv2D(4, 3), (None, None, 3)), 1)
    merge(padded(((1, 2), (1, 1)), layers.Conv2D(4, 3), (None, None, 3)), 0)
    merge(padded(((0, 1), (0, 1)), layers.Conv2D(4, 3, strides=2), (None, None, 3)), 0)


@given(
    size=st.integers(3, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    before=st.integers(0, 3),
    behind=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_it_is_exact_wherever_it_applies(check, size, kernel, stride, before, behind) -> None:
    """By the positions alone whether it has to apply: the same windows, as many of them."""
    if size + before + behind < kernel:
        return
    zeros = ((before, behind), (before, behind))
    model = padded(zeros, layers.Conv2D(2, kernel, strides=stride), (size, size, 3))
    count = -(-size // stride)
    total = max((count - 1) * stride + kernel - size, 0)
    alike = before == total // 2 and model.output.shape[1] == count
    check(merge_padding, model, int(alike))


def test_all_readers_or_none(merge) -> None:
    x = keras.Input((12, 12, 3))
    y = layers.ZeroPadding2D(1)(x)
    one, two = layers.Conv2D(4, 3)(y), layers.Conv2D(4, 3, activation="relu")(y)
    merge(keras.Model(x, layers.Add()([one, two])), 1)
    merge(keras.Model(x, layers.Concatenate()([layers.Cropping2D(1)(y), one])), 0)


def test_what_is_not_a_convolution_of_zeros_stays(merge) -> None:
    merge(padded(1, layers.MaxPooling2D(3, 1)), 0)
    merge(padded(1, layers.Conv2D(4, 3, padding="same")), 0)
    x = keras.Input((12, 12, 3))
    conv = layers.Conv2D(3, 3)
    twice = conv(layers.ZeroPadding2D(1)(conv(layers.ZeroPadding2D(1)(x))))
    merge(keras.Model(x, twice), 0)
