"""Random variation of pictures by Keras layers."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

SHIFT = 0.1
"""Largest translation, as a share of the side."""
ROTATION = 0.05
"""Largest rotation, as a share of a full turn: 18 degrees."""
ZOOM = 0.15
"""Largest change of width and of height, each by itself, as a share."""


def augmentation(seed: int) -> keras.Sequential:
    """Build the layers that move, turn and stretch pictures at random; edges are continued.

    Nothing is mirrored: digits, letters and hand signs would change their meaning.

    Args:
        seed: The same seed gives the same variations in the same order.

    Returns:
        Float32 pictures ``(batch, height, width, 3)`` to pictures of the same shape and range, when
        called with ``training=True``.
    """
    return keras.Sequential(
        [
            layers.RandomTranslation(SHIFT, SHIFT, fill_mode="nearest", seed=seed),
            layers.RandomRotation(ROTATION, fill_mode="nearest", seed=seed + 1),
            layers.RandomZoom(ZOOM, ZOOM, fill_mode="nearest", seed=seed + 2),
        ],
        name="augmentation",
    )


def variation(seed: int) -> Callable[[tf.Tensor, int], tf.Tensor]:
    """Return the same variation as a function of pictures and the number of the step.

    A step's pictures vary in the same way whatever steps came before, so training can be resumed.
    """
    vary = augmentation(seed)

    def of_step(pictures: tf.Tensor, step: int) -> tf.Tensor:
        for number, layer in enumerate(vary.layers):
            layer.generator.state.assign([seed + number, step])
        return vary(pictures, training=True)

    return of_step
