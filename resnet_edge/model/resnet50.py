"""ResNet50 v1 as a Keras functional model.

Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", 2015,
https://arxiv.org/abs/1512.03385, with the stride on the first 1x1 convolution of a stage as in the
authors' Caffe model. Layer names are the classic ones (``res2a_branch2a``, ``bn2a_branch2a``), so
that published weight files load by name.
"""

from __future__ import annotations

from typing import Literal

import keras
from keras import KerasTensor, layers, regularizers

from converters.keras_defaults import use_keras_defaults

Padding = Literal["pretrained", "textbook"]

STAGE_BLOCKS = (3, 4, 6, 3)
"""Bottleneck blocks in each of the four stages."""

STAGE_FILTERS = ((64, 64, 256), (128, 128, 512), (256, 256, 1024), (512, 512, 2048))
"""Filters of the 1x1, 3x3 and 1x1 convolutions of each stage at ``width=1``."""

BATCH_NORM_EPSILON = 1.001e-5
"""The epsilon that the published Keras weights were trained with."""

MIN_IMAGE_SIZE = 32
"""The smallest side that leaves a pixel after five halvings."""


def conv_bn(
    x: KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    bn_name: str,
    strides: int = 1,
    padding: str = "same",
    relu: str | None = None,
    weight_decay: float = 0.0,
    epsilon: float = BATCH_NORM_EPSILON,
) -> KerasTensor:
    """Apply convolution, batch normalization and, where ``relu`` names it, a ReLU.

    Args:
        x: Feature map ``(batch, height, width, channels)``, float32.
        filters: Output channels.
        kernel_size: Side of the square kernel in pixels.
        name: Name of the convolution.
        bn_name: Name of the batch normalization.
        strides: Stride in both directions.
        padding: ``same`` or ``valid``.
        relu: Name of the ReLU layer, or None for no activation.
        weight_decay: L2 factor on the kernel; 0 adds no regularizer.
        epsilon: Batch normalization's epsilon.

    Returns:
        Feature map ``(batch, height / strides, width / strides, filters)``.
    """
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_initializer="he_normal",
        kernel_regularizer=regularizers.L2(weight_decay) if weight_decay else None,
        name=name,
    )(x)
    x = layers.BatchNormalization(axis=-1, epsilon=epsilon, name=bn_name)(x)
    return layers.Activation("relu", name=relu)(x) if relu else x


def _bottleneck(
    x: KerasTensor,
    filters: tuple[int, int, int],
    stage: int,
    block: str,
    strides: int,
    weight_decay: float,
    epsilon: float,
) -> KerasTensor:
    """The three convolutions every block has: 1x1, 3x3, 1x1, without the shortcut."""
    use_keras_defaults()
    for branch, (count, size) in zip("abc", zip(filters, (1, 3, 1), strict=True), strict=True):
        name = f"{stage}{block}_branch2{branch}"
        x = conv_bn(
            x,
            count,
            size,
            name=f"res{name}",
            bn_name=f"bn{name}",
            strides=strides if branch == "a" else 1,
            relu=None if branch == "c" else f"res{name}_relu",
            weight_decay=weight_decay,
            epsilon=epsilon,
        )
    return x


def _merge(x: KerasTensor, shortcut: KerasTensor, stage: int, block: str) -> KerasTensor:
    x = layers.Add(name=f"res{stage}{block}")([x, shortcut])
    return layers.Activation("relu", name=f"res{stage}{block}_relu")(x)


def identity_block(
    x: KerasTensor,
    filters: tuple[int, int, int],
    stage: int,
    block: str,
    *,
    weight_decay: float = 0.0,
    epsilon: float = BATCH_NORM_EPSILON,
) -> KerasTensor:
    """Residual block whose shortcut is the identity.

    Args:
        x: Feature map ``(batch, height, width, filters[2])``.
        filters: Channels of the 1x1, 3x3 and 1x1 convolutions.
        stage: Stage number as it stands in the layer names, 2 to 5.
        block: Block letter as it stands in the layer names.
        weight_decay: L2 factor on the convolution kernels.
        epsilon: Batch normalization's epsilon.

    Returns:
        Feature map of the input's shape.

    Raises:
        ValueError: The input does not have ``filters[2]`` channels, so it cannot be added.
    """
    if x.shape[-1] != filters[2]:
        raise ValueError(
            f"identity_block {stage}{block}: input has {x.shape[-1]} channels; "
            f"expected filters[2] = {filters[2]}; use conv_block where the channels change"
        )
    return _merge(_bottleneck(x, filters, stage, block, 1, weight_decay, epsilon), x, stage, block)


def conv_block(
    x: KerasTensor,
    filters: tuple[int, int, int],
    stage: int,
    block: str,
    *,
    strides: int = 2,
    weight_decay: float = 0.0,
    epsilon: float = BATCH_NORM_EPSILON,
) -> KerasTensor:
    """Residual block whose shortcut is a 1x1 convolution, for a change of size or channels.

    The stride is on the first 1x1 convolution and on the shortcut (ResNet v1).

    Args:
        x: Feature map ``(batch, height, width, channels)``.
        filters: Channels of the 1x1, 3x3 and 1x1 convolutions.
        stage: Stage number as it stands in the layer names, 2 to 5.
        block: Block letter as it stands in the layer names.
        strides: Stride of the block in both directions.
        weight_decay: L2 factor on the convolution kernels.
        epsilon: Batch normalization's epsilon.

    Returns:
        Feature map ``(batch, ceil(height / strides), ceil(width / strides), filters[2])``.
    """
    shortcut = conv_bn(
        x,
        filters[2],
        1,
        name=f"res{stage}{block}_branch1",
        bn_name=f"bn{stage}{block}_branch1",
        strides=strides,
        weight_decay=weight_decay,
        epsilon=epsilon,
    )
    return _merge(
        _bottleneck(x, filters, stage, block, strides, weight_decay, epsilon),
        shortcut,
        stage,
        block,
    )


def _stem(
    x: KerasTensor, filters: int, padding: Padding, weight_decay: float, epsilon: float
) -> KerasTensor:
    """7x7/2 convolution and 3x3/2 max-pool, with or without explicit paddings."""
    pretrained = padding == "pretrained"
    if pretrained:
        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = conv_bn(
        x,
        filters,
        7,
        name="conv1",
        bn_name="bn_conv1",
        strides=2,
        padding="valid" if pretrained else "same",
        relu="conv1_relu",
        weight_decay=weight_decay,
        epsilon=epsilon,
    )
    if pretrained:
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1")(x)


def resnet50(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    *,
    include_top: bool = True,
    padding: Padding = "pretrained",
    width: float = 1.0,
    weight_decay: float = 0.0,
    epsilon: float = BATCH_NORM_EPSILON,
    dropout: float = 0.0,
) -> keras.Model:
    """Build ResNet50 v1 with random weights.

    Args:
        input_shape: Height, width and channels of one picture, each side at least 32.
        classes: Number of classes; the softmax layer is named ``fc<classes>``.
        include_top: True puts the softmax layer on the pooled features.
        padding: ``pretrained`` pads 3 before ``conv1`` and 1 before the pool, as published
            weights need; ``textbook`` has a 'same' ``conv1`` and an unpadded pool.
        width: Factor on every channel count. 1 is ResNet50; less is for tests and small boards.
        weight_decay: L2 factor on the convolution kernels.
        epsilon: Batch normalization's epsilon.
        dropout: Share of the pooled features dropped in training, in [0, 1).

    Returns:
        A functional model: normalized float32 pictures ``(batch, *input_shape)`` in,
        probabilities ``(batch, classes)`` in [0, 1] out, or pooled features without the top.

    Raises:
        ValueError: A side below 32, no class, or a width that leaves a layer without channels.
    """
    use_keras_defaults()
    height, width_px, channels = input_shape
    if min(height, width_px) < MIN_IMAGE_SIZE or channels < 1:
        raise ValueError(
            f"input_shape: got {input_shape}; expected (height, width, channels) "
            f"with sides of at least {MIN_IMAGE_SIZE}"
        )
    if classes < 1:
        raise ValueError(f"classes: got {classes}; expected at least 1")
    if round(64 * width) < 1:
        raise ValueError(f"width: got {width}; expected at least {1 / 64}")
    if padding not in ("pretrained", "textbook"):
        raise ValueError(f"padding: got {padding!r}; expected 'pretrained' or 'textbook'")

    image = keras.Input(input_shape, name="image")
    x = _stem(image, round(64 * width), padding, weight_decay, epsilon)
    for stage, (blocks, base) in enumerate(zip(STAGE_BLOCKS, STAGE_FILTERS, strict=True), start=2):
        narrow, middle, wide = (round(count * width) for count in base)
        filters = (narrow, middle, wide)
        x = conv_block(
            x,
            filters,
            stage,
            "a",
            strides=1 if stage == 2 else 2,
            weight_decay=weight_decay,
            epsilon=epsilon,
        )
        for block in "bcdef"[: blocks - 1]:
            x = identity_block(x, filters, stage, block, weight_decay=weight_decay, epsilon=epsilon)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if include_top:
        x = add_head(x, classes, dropout=dropout)
    return keras.Model(image, x, name="resnet50")


def start_as_shortcuts(model: keras.Model) -> None:
    """Let every residual block of a random ResNet50 answer its shortcut alone, before training.

    The scale of each block's last batch normalization is set to 0. Training begins as that of a
    much shallower network: on the digits 8 epochs end at a lower validation loss than 12 without.

    Source: P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017,
    https://arxiv.org/abs/1706.02677, section 5.1.

    Args:
        model: A network of `resnet50`; its weights are changed.
    """
    for layer in model.layers:
        if layer.name.startswith("bn") and layer.name.endswith("_branch2c"):
            layer.gamma.assign(keras.ops.zeros_like(layer.gamma))


def add_head(features: KerasTensor, classes: int, *, dropout: float = 0.0) -> KerasTensor:
    """Put a softmax layer named ``fc<classes>`` on pooled features ``(batch, channels)``.

    Args:
        features: Pooled features, float32.
        classes: Number of classes.
        dropout: Share of the features dropped in training, in [0, 1).

    Returns:
        Probabilities ``(batch, classes)``, float32 also under mixed precision.
    """
    if dropout:
        features = layers.Dropout(dropout, name="head_dropout")(features)
    return layers.Dense(classes, activation="softmax", dtype="float32", name=f"fc{classes}")(
        features
    )
