"""A batch normalization of feature maps becomes a depthwise convolution, and nothing else does."""

from collections.abc import Callable
from functools import partial

import keras
import pytest
from keras import layers

from converters.quantization.tflite_network import read_network
from converters.rewrites.channelwise_batch_norm import channelwise_batch_norm
from converters.tflite.conversion import convert_float32

Check = Callable[[keras.Model, int], keras.Model]


@pytest.fixture(name="check")
def _check(check) -> Check:
    return partial(check, channelwise_batch_norm)


@pytest.mark.parametrize(("scale", "center"), [(True, True), (False, True), (False, False)])
def test_names_and_answers_stay(check: Check, scale: bool, center: bool) -> None:
    x = keras.Input((9, 7, 3))
    y = layers.BatchNormalization(scale=scale, center=center, name="norm")(x)
    changed = check(keras.Model(x, layers.ReLU()(y)), 1)
    assert type(changed.get_layer("norm")) is layers.DepthwiseConv2D
    assert changed.get_layer("norm").kernel.shape == (1, 1, 3, 1)


def test_a_pre_activation_block_and_a_concatenation(check: Check) -> None:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(6, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(x)))
    y = layers.Concatenate()([x, y])
    y = layers.Conv2D(9, 1)(layers.ReLU()(layers.BatchNormalization()(y)))
    check(keras.Model(x, layers.Add()([y, y])), 2)


def test_vectors_other_axes_and_training_stay(check: Check) -> None:
    x = keras.Input((6, 6, 3))
    y = layers.BatchNormalization(axis=1)(x)
    y = layers.BatchNormalization()(layers.GlobalAveragePooling2D()(y))
    check(keras.Model(x, y), 0)
    z = layers.BatchNormalization()(x, training=True)
    model = keras.Model(x, z)
    assert channelwise_batch_norm(model).model is model


def test_one_operator_is_left_in_the_file() -> None:
    x = keras.Input((8, 8, 3))
    y = layers.ReLU()(layers.BatchNormalization(name="norm")(layers.MaxPooling2D()(x)))
    y = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(y))
    network = read_network(convert_float32(channelwise_batch_norm(keras.Model(x, y)).model))
    kinds = [(op.kind, op.activation) for op in network.operations]
    assert kinds[:2] == [("MAX_POOL_2D", "NONE"), ("DEPTHWISE_CONV_2D", "RELU")]
