"""Networks out of many layers, from picture to features, that several tests export."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers, ops

SIDE, CHANNELS = 12, 8
Build = Callable[[object], object]


def normalized(x: object) -> object:
    """Picture to features, with the preprocessing that TFLite folds into a kernel."""
    return layers.Conv2D(CHANNELS, 3, padding="same")(layers.Rescaling(1 / 255)(x))


def preprocessed(x: object) -> object:
    """The same with ``preprocess_input`` as operations: BGR minus the means of ImageNet."""
    y = keras.applications.resnet50.preprocess_input(x)
    return layers.Conv2D(CHANNELS, 3, padding="same")(layers.Rescaling(1 / 128)(y))


def convolutions(x: object) -> object:
    x = layers.Conv2D(CHANNELS, 3, groups=4, activation="relu")(x)
    x = layers.Conv2D(CHANNELS, 3, dilation_rate=2, padding="same", activation="elu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same")(x)
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.2))(x)
    x = layers.SeparableConv2D(CHANNELS, 3, padding="same", activation="leaky_relu")(x)
    return layers.Conv2DTranspose(CHANNELS, 3, strides=2, padding="same", activation="relu6")(x)


def gates(x: object) -> object:
    x = ops.hard_silu(x) + ops.hard_sigmoid(x) + ops.silu(x) + ops.softplus(x) + x * 0.3
    x = layers.Multiply()([x, layers.Rescaling(1 / 6)(layers.ReLU(6.0)(layers.Rescaling(1, 3)(x)))])
    squeezed = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, CHANNELS))(layers.Dense(CHANNELS, activation="sigmoid")(squeezed))
    return layers.Multiply()([x, gate])


def normalizations(x: object) -> object:
    x = layers.GroupNormalization(2)(x)
    x = layers.LayerNormalization()(x)
    x = layers.RMSNormalization()(x) + layers.UnitNormalization()(x)
    x = layers.Conv2D(CHANNELS, 1, activation="gelu")(x)
    x = layers.BatchNormalization()(ops.selu(x))
    return x + ops.gelu(layers.Conv2D(CHANNELS, 1)(x), approximate=True)


def shapes(x: object) -> object:
    x = layers.Concatenate()([x[:, ::-1, 1:-1, ::-1], ops.roll(x, 1, axis=1)[:, :, :-2]])
    x = layers.ZeroPadding2D(((1, 0), (0, 1)))(layers.Cropping2D(1)(x))
    up = layers.UpSampling2D(2)(layers.MaxPooling2D(2, padding="same")(x))
    x = layers.Resizing(SIDE, SIDE)(up) + layers.UpSampling2D(2, interpolation="bilinear")(
        layers.AveragePooling2D(3, 2, padding="same")(layers.Resizing(SIDE, SIDE)(x))
    )
    halves = ops.split(x, 2, axis=-1)
    x = ops.max(ops.stack(halves, axis=1), axis=1)
    x = layers.Permute((2, 1, 3))(x)
    return ops.where(x > 0.1, x, ops.take(x, [1, 0, 3, 2, 5, 4, 7, 6], axis=-1))


def attention(x: object) -> object:
    tokens = layers.Reshape((-1, CHANNELS))(layers.MaxPooling2D(3)(x))
    first = ops.zeros_like(tokens[:, :1]) + 0.5  # a class token, which TFLite makes a constant
    tokens = layers.Concatenate(axis=1)([first, tokens])
    tokens = tokens + layers.MultiHeadAttention(2, 4)(tokens, tokens)
    hidden = layers.Dense(CHANNELS, activation="gelu")(layers.LayerNormalization()(tokens))
    return layers.Reshape((1, 1, CHANNELS))((tokens + hidden)[:, 0])


def hidden_dense(x: object) -> object:
    x = layers.Flatten()(layers.MaxPooling2D(4)(x))
    x = layers.Dense(CHANNELS, activation="relu")(x)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(CHANNELS, use_bias=False)(x)))
    return layers.Reshape((1, 1, CHANNELS))(layers.Average()([x, layers.Dense(CHANNELS)(x)]))


def nested(x: object) -> object:
    """A base model that is used twice, and a Sequential one."""
    inner = keras.Input((SIDE, SIDE, CHANNELS))
    y = layers.BatchNormalization()(layers.Conv2D(CHANNELS, 3, padding="same")(inner))
    base = keras.Model(inner, layers.ReLU()(y), name="base")
    last = keras.Sequential([layers.Conv2D(CHANNELS, 1, name="inside"), layers.ReLU()])
    return last(base(x, training=False) + 0.2 * base(base(x, training=False), training=False))


BUILDS: tuple[Build, ...] = (
    convolutions,
    gates,
    normalizations,
    shapes,
    attention,
    hidden_dense,
    nested,
)
"""All of them."""


def classifier(build: Build, first: Build = normalized) -> keras.Model:
    """Return a classifier for pixels in [0, 255] out of one of them."""
    keras.utils.set_random_seed(1)
    x = keras.Input((SIDE, SIDE, 3))
    y = layers.GlobalAveragePooling2D()(build(first(x)))
    wide = keras.initializers.RandomNormal(stddev=5)  # tells pictures apart
    return keras.Model(x, layers.Dense(4, activation="softmax", kernel_initializer=wide)(y))
