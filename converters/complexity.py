"""What a network costs: multiply-adds, counted from layer shapes."""

from __future__ import annotations

import math

import keras
from keras import layers


def count_multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of one picture through convolutions and dense layers.

    Args:
        model: A built model with a fixed input size; models inside it are counted too.

    Returns:
        Multiply-adds for batch 1. Padding counts as computed, as the literature does.
    """
    return sum(_layer_multiply_adds(layer) for layer in model.layers)


def _layer_multiply_adds(layer: layers.Layer) -> int:
    if isinstance(layer, keras.Model):
        return count_multiply_adds(layer)
    if isinstance(layer, layers.DepthwiseConv2D):
        # Kernel (height, width, channels, multiplier): every weight is used once per output pixel.
        return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    if isinstance(layer, (layers.Conv2D, layers.Dense)):
        outputs = layer.output.shape[1:-1]
        return math.prod(layer.kernel.shape) * math.prod(outputs)
    return 0
