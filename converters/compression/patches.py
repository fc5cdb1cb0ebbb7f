"""The vectors that a kernel is multiplied with: one for every position of a convolution."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from keras import layers

from converters.compression.flat_graph import FlatCall

VECTORS_PER_ROW = 8
"""Vectors of the sample for each row of the kernel. More of them change the fit little."""

MOST_ROWS = 6000
"""Longest vectors whose products in pairs are kept: 144 MB for a layer. Of longer ones the sample
has at most as many."""


class Patches:
    """Vectors of one layer, from some of the positions of every picture."""

    def __init__(self, call: FlatCall, pictures: int, seed: int = 7) -> None:
        self._layer = call.layer
        self.rows = math.prod(call.layer.kernel.shape[:-1])
        """Rows of the kernel: values of a vector."""
        self.are_long = self.rows > MOST_ROWS
        wanted = MOST_ROWS if self.are_long else VECTORS_PER_ROW * self.rows
        self._wanted = math.ceil(wanted / pictures)
        self._rng = np.random.default_rng(seed)

    def sample(self, read: tf.Tensor, *others: tf.Tensor) -> tuple[float, list[tf.Tensor]]:
        """Return vectors at random positions.

        Args:
            read: What the layer reads, ``(batch, ..., channels)``.
            others: Of the shape of what it writes.

        Returns:
            The number of positions that each vector stands for; the vectors, ``(batch, positions,
            rows + 1)`` with ones in the last column; the others at the same positions, ``(batch,
            positions, channels)``.
        """
        vectors = self._all(read)
        batch, positions = vectors.shape[:2]
        found = [tf.reshape(other, (batch, positions, other.shape[-1])) for other in others]
        weight = 1.0
        if self._wanted < positions:
            chosen = np.sort(self._rng.choice(positions, self._wanted, replace=False))
            vectors, *found = (tf.gather(one, chosen, axis=1) for one in (vectors, *found))
            weight = positions / self._wanted
        ones = tf.ones((*vectors.shape[:2], 1), vectors.dtype)
        return weight, [tf.concat([vectors, ones], axis=2), *found]

    def _all(self, read: tf.Tensor) -> tf.Tensor:
        """Return all vectors, ``(batch, positions, rows)``."""
        layer = self._layer
        read = tf.cast(read, tf.float32)
        if isinstance(layer, layers.Dense):
            return tf.reshape(read, (read.shape[0], -1, read.shape[-1]))
        if tuple(layer.kernel_size) == (1, 1):
            row, column = layer.strides
            found = read[:, ::row, ::column]
        else:
            found = tf.image.extract_patches(
                read,
                (1, *layer.kernel_size, 1),
                (1, *layer.strides, 1),
                (1, *layer.dilation_rate, 1),
                layer.padding.upper(),
            )
        return tf.reshape(found, (found.shape[0], -1, self.rows))
