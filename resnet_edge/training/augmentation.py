"""Random variation of pictures by Keras layers."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
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
    """Return a milder variation, for a network that is trained already.

    Pictures move, turn and stretch as above, but every second one stays as it is, and the others
    are interpolated once. Layers that do it one after the other blur small pictures, and a trained
    network that learns from blurred ones answers sharp ones worse.

    Args:
        seed: The same seed and the same number of a step vary in the same way, whatever steps came
            before. So training can be resumed.

    Returns:
        From float32 pictures ``(batch, height, width, 3)`` and the number of the step to pictures
        of the same shape and range.
    """

    def vary(pictures: tf.Tensor, step: int) -> tf.Tensor:
        count, height, width = pictures.shape[:3]
        transforms = _affine_transforms(np.random.default_rng((seed, step)), count, height, width)
        transforms[::2] = _IDENTITY
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pictures,
            transforms=transforms,
            output_shape=(height, width),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )

    return vary


_IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0)


def _affine_transforms(
    rng: np.random.Generator, count: int, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Return where every pixel comes from, as TensorFlow takes it, float32 ``(count, 8)``."""
    angle = 2 * np.pi * rng.uniform(-ROTATION, ROTATION, count)
    wide, high = rng.uniform(1 - ZOOM, 1 + ZOOM, (2, count))
    right, down = rng.uniform(-SHIFT, SHIFT, (2, count)) * [[width], [height]]
    x, y = (width - 1) / 2, (height - 1) / 2  # the middle, which turning and stretching leave
    a, b = np.cos(angle) * wide, -np.sin(angle) * high
    c, d = np.sin(angle) * wide, np.cos(angle) * high
    none = np.zeros(count)
    columns = (a, b, x - a * x - b * y + right, c, d, y - c * x - d * y + down, none, none)
    return np.stack(columns, axis=1).astype(np.float32)
