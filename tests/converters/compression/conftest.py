"""Small networks with every way in which channels can be tied."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

SIZE = 16


def residual() -> keras.Model:
    """A stem, two blocks whose sums tie three convolutions, and a projection."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = _convolution(image, 8, 3, "stem", strides=2)
    for number, width in enumerate((8, 12)):
        name = f"block{number}"
        y = _convolution(x, 8, 1, f"{name}_1")
        y = _convolution(y, 8, 3, f"{name}_2")
        y = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_3")(y)
        y = layers.BatchNormalization(name=f"{name}_3_bn")(y)
        shortcut = x
        if x.shape[-1] != width:
            shortcut = layers.Conv2D(width, 1, name=f"{name}_0")(x)
            shortcut = layers.BatchNormalization(name=f"{name}_0_bn")(shortcut)
        x = layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(4, activation="softmax", name="head")(x), name="net")


def plain() -> keras.Model:
    """Convolutions with fused activations, a flattening, dense layers, a softmax of its own."""
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(8, 3, activation="relu", name="one"),
            layers.MaxPooling2D(name="smaller"),
            layers.Conv2D(12, 3, activation="relu", padding="same", name="two"),
            layers.BatchNormalization(name="norm"),
            layers.AveragePooling2D(2, name="smallest"),
            layers.Flatten(name="flat"),
            layers.Dense(10, activation="relu", name="hidden"),
            layers.Dropout(0.3, name="drop"),
            layers.Dense(5, name="head"),
            layers.Softmax(name="softmax"),
        ],
        name="plain",
    )


def mobile() -> keras.Model:
    """Inverted residuals with depthwise convolutions, squeeze and excitation, hard swish."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = _convolution(layers.Rescaling(1.5, 0.1)(image), 8, 3, "stem", strides=2)
    for number in range(2):
        name = f"block{number}"
        y = _convolution(x, 16, 1, f"{name}_expand")
        y = layers.ZeroPadding2D(1, name=f"{name}_pad")(y)
        y = layers.DepthwiseConv2D(3, use_bias=False, name=f"{name}_depthwise")(y)
        y = layers.BatchNormalization(name=f"{name}_bn")(y)
        y = y * keras.ops.relu6(y + 3.0) * (1.0 / 6.0)
        gate = layers.GlobalAveragePooling2D(name=f"{name}_pool")(y)
        gate = layers.Reshape((1, 1, 16), name=f"{name}_shape")(gate)
        gate = layers.Conv2D(4, 1, activation="relu", name=f"{name}_reduce")(gate)
        gate = layers.Conv2D(16, 1, activation="sigmoid", name=f"{name}_gate")(gate)
        y = layers.Multiply(name=f"{name}_excite")([y, gate])
        y = layers.Conv2D(8, 1, use_bias=False, name=f"{name}_project")(y)
        y = layers.BatchNormalization(name=f"{name}_project_bn")(y)
        x = layers.Add(name=f"{name}_add")([x, layers.Dropout(0.1, name=f"{name}_drop")(y)])
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = layers.Conv2D(4, 1, name="head")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(image, layers.Activation("softmax", name="softmax")(x), name="mobile")


def dense() -> keras.Model:
    """Concatenations, with batch normalization in front of the convolutions."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, name="stem")(image)
    for number in range(3):
        y = layers.BatchNormalization(name=f"bn{number}")(x)
        y = layers.ReLU(name=f"relu{number}")(y)
        y = layers.Conv2D(6, 3, padding="same", name=f"grow{number}")(y)
        x = layers.Concatenate(name=f"join{number}")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(4, name="head")(x), name="dense")


def nested() -> keras.Model:
    """Transfer learning as Keras' guides write it: a backbone inside, called for inference."""
    inner = residual()
    backbone = keras.Model(inner.input, inner.get_layer("block1_out").output, name="backbone")
    image = keras.Input((SIZE, SIZE, 3), name="photo")
    x = backbone(layers.Rescaling(0.8)(image), training=False)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(9, activation="relu", name="stem")(x)  # a name that the backbone has as well
    return keras.Model(image, layers.Dense(4, activation="softmax", name="head")(x), name="user")


def grouped() -> keras.Model:
    """Operators whose channels stay: grouped, separable and multiplied convolutions, PReLU."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="stem")(image)
    x = layers.Conv2D(8, 1, activation="gelu", name="free")(x)
    x = layers.Conv2D(8, 1, name="read")(x)
    x = layers.Conv2D(8, 3, groups=4, name="groups")(x)
    x = layers.PReLU(shared_axes=(1, 2), name="prelu")(x)
    x = layers.SeparableConv2D(6, 3, padding="same", name="separable")(x)
    x = layers.DepthwiseConv2D(1, depth_multiplier=2, name="multiplied")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(7, activation="softmax", name="shares")(x)
    return keras.Model(image, layers.Dense(4, name="head")(x), name="grouped")


def any_size() -> keras.Model:
    """A backbone without a size, as `ResNet50(include_top=False)` is, called with one."""
    image = keras.Input((None, None, 3), name="any")
    x = _convolution(image, 8, 3, "one", strides=2)
    x = _convolution(x, 12, 3, "two")
    backbone = keras.Model(image, x, name="backbone")
    photo = keras.Input((SIZE, SIZE, 3), name="photo")
    x = layers.GlobalAveragePooling2D(name="pool")(backbone(photo))
    return keras.Model(photo, layers.Dense(4, activation="softmax", name="head")(x), name="user")


NETWORKS = {
    "any_size": any_size,
    "grouped": grouped,
    "residual": residual,
    "plain": plain,
    "mobile": mobile,
    "dense": dense,
    "nested": nested,
}


def _convolution(
    x: keras.KerasTensor, filters: int, size: int, name: str, strides: int = 1
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))


@pytest.fixture(params=sorted(NETWORKS))
def network(request: pytest.FixtureRequest, randomize: Callable[..., keras.Model]) -> keras.Model:
    """Every network in turn, with random weights and statistics."""
    return randomize(NETWORKS[request.param]())


@pytest.fixture
def make(randomize: Callable[..., keras.Model]) -> Callable[[str], keras.Model]:
    """A network by name."""
    return lambda name: randomize(NETWORKS[name]())


@pytest.fixture(scope="session")
def photos() -> np.ndarray:
    """float32 (48, 16, 16, 3), standardized, with structure and of different contrast."""
    rng = np.random.default_rng(2)
    coarse = rng.normal(0, 1.5, (48, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    fine = rng.normal(0, 0.7, (48, 16, 16, 3))
    return ((coarse + fine) * np.linspace(0.5, 1.5, 48).reshape(-1, 1, 1, 1)).astype(np.float32)
