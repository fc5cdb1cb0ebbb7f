"""Small networks of several architectures, trained for a minute or two each.

Where values matter and random weights would not do: a trained network has the outliers, the dead
channels and the correlations that quantizing meets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Recipe:
    """Architecture and training of one network."""

    build: Callable[[tuple[int, int], int], Any]
    """Returns a Keras classifier for height and width and a number of classes."""
    epochs: int
    preprocessing: str = "tf"
    """The normalization that it is trained with, by the product's name."""
    peak_rate: float = 2e-3
    """Adam's learning rate after warming up."""


def plain_cnn(size: tuple[int, int], classes: int) -> Any:  # noqa: ANN401
    """VGG's manner: 3x3 convolutions with ReLU, max-pools, no batch normalization."""
    import keras
    from keras import layers

    image = x = keras.Input((*size, 3))
    for width in (32, 64, 128, 128):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.3)(layers.Dense(128, activation="relu")(x))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def mobilenet_v2(size: tuple[int, int], classes: int) -> Any:  # noqa: ANN401
    """MobileNetV2 of a third of the width: depthwise convolutions, ReLU6, linear bottlenecks."""
    import keras

    return keras.applications.MobileNetV2((*size, 3), 0.35, weights=None, classes=classes)


def small_efficientnet(size: tuple[int, int], classes: int) -> Any:  # noqa: ANN401
    """EfficientNet's blocks, few and narrow: swish, depthwise, squeeze-and-excitation."""
    import keras
    from keras import layers

    def norm(x: Any) -> Any:  # noqa: ANN401
        return layers.BatchNormalization()(x)

    def block(x: Any, width: int) -> Any:  # noqa: ANN401
        inner = 4 * x.shape[-1]
        y = layers.Activation("swish")(norm(layers.Conv2D(inner, 1, use_bias=False)(x)))
        y = layers.DepthwiseConv2D(3, 2, padding="same", use_bias=False)(y)
        y = layers.Activation("swish")(norm(y))
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(max(4, inner // 16), 1, activation="swish")(gate)
        y = layers.Multiply()([y, layers.Conv2D(inner, 1, activation="sigmoid")(gate)])
        return norm(layers.Conv2D(width, 1, use_bias=False)(y))

    image = keras.Input((*size, 3))
    x = layers.Conv2D(16, 3, 2, padding="same", use_bias=False)(image)
    x = layers.Activation("swish")(norm(x))
    for width in (24, 40, 80):
        x = block(x, width)
    x = layers.Activation("swish")(norm(layers.Conv2D(256, 1, use_bias=False)(x)))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def gelu_resnet(size: tuple[int, int], classes: int) -> Any:  # noqa: ANN401
    """A residual network with GELU, which level `equalized` cannot simulate."""
    import keras
    from keras import layers

    def convolve(x: Any, width: int, stride: int) -> Any:  # noqa: ANN401
        x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    image = keras.Input((*size, 3))
    x = layers.Activation("gelu")(convolve(image, 32, 2))
    for width in (32, 64, 128):
        branch = layers.Activation("gelu")(convolve(x, width, 2))
        branch = convolve(branch, width, 1)
        shortcut = layers.BatchNormalization()(layers.Conv2D(width, 1, 2, use_bias=False)(x))
        x = layers.Activation("gelu")(layers.Add()([branch, shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


RECIPES = {
    "plain-cnn": Recipe(plain_cnn, epochs=6),
    "mobilenetv2-0.35": Recipe(mobilenet_v2, epochs=6),
    "gelu-resnet": Recipe(gelu_resnet, epochs=6),
    "small-efficientnet": Recipe(small_efficientnet, epochs=6),
}


def train(recipe: Recipe, pictures: np.ndarray, labels: np.ndarray) -> Any:  # noqa: ANN401
    """Train from a fixed seed.

    Args:
        recipe: The network.
        pictures: Raw RGB, uint8 ``(count, height, width, 3)``.
        labels: Class indices, ``(count,)``.

    Returns:
        A Keras classifier that expects ``recipe.preprocessing``.
    """
    import keras

    from converters.preprocessing import PREPROCESSINGS

    keras.utils.set_random_seed(0)
    apply = PREPROCESSINGS[recipe.preprocessing].apply
    model = recipe.build(pictures.shape[1:3], int(labels.max()) + 1)
    batch = 64
    steps = recipe.epochs * (len(pictures) // batch)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=recipe.peak_rate, warmup_steps=steps // 10
    )
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    for _ in range(recipe.epochs):
        order = rng.permutation(len(pictures))[: len(pictures) // batch * batch]
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            batch_pictures = pictures[chosen].astype(np.float32)
            flipped = rng.random(batch) < 0.5
            batch_pictures[flipped] = batch_pictures[flipped, :, ::-1]
            model.train_on_batch(apply(batch_pictures), labels[chosen])
    settle_batch_normalizations(model, apply(pictures[:256].astype(np.float32)))
    return model


def settle_batch_normalizations(model: Any, pictures: np.ndarray) -> None:  # noqa: ANN401
    """Give batch normalizations the statistics of these pictures, which few steps leave behind."""
    import keras

    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(pictures, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
