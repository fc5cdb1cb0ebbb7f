"""What the rows of a kernel read: one vector for every position of a convolution."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from keras import layers

from converters.compression.flat_graph import FlatCall

ROWS_PER_COLUMN = 8
"""Vectors of the sample for each of their values. More of them change the fit little."""


MOST_ROWS = 6000
"""Longest vectors whose products in pairs are kept: 144 MB for a layer."""


class Patches:
    """Vectors of one layer, from some of the positions of every picture."""

    def __init__(self, call: FlatCall, pictures: int, seed: int = 7) -> None:
        self._layer = call.layer
        kernel = call.layer.kernel
        self.rows = math.prod(kernel.shape[:-1])
        """Values of a vector."""
        self.are_long = self.rows > MOST_ROWS
        self._wanted = math.ceil(ROWS_PER_COLUMN * self.rows / pictures)
        self._rng = np.random.default_rng(seed)

    def sample(self, read: tf.Tensor) -> tuple[tf.Tensor, float]:
        """Return vectors at random positions.

        Args:
            read: What the layer reads, ``(batch, ..., channels)``.

        Returns:
            ``(vectors, rows + 1)`` with ones in the last column, and the number of positions that
            each of them stands for.
        """
        vectors = self._all(read)
        positions = vectors.shape[1]
        chosen, weight = self._choose(positions)
        if chosen is not None:
            vectors = tf.gather(vectors, chosen, axis=1)
        flat = tf.reshape(vectors, (-1, self.rows))
        ones = tf.ones((flat.shape[0], 1), flat.dtype)
        return tf.concat([flat, ones], axis=1), weight

    def sample_with(self, read: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, float]:
        """Return vectors at random positions, the layer's sums there, and what each stands for."""
        vectors = self._all(read)
        positions = vectors.shape[1]
        chosen, weight = self._choose(positions)
        targets = tf.reshape(sums, (sums.shape[0], positions, sums.shape[-1]))
        if chosen is not None:
            vectors = tf.gather(vectors, chosen, axis=1)
            targets = tf.gather(targets, chosen, axis=1)
        flat = tf.reshape(vectors, (-1, self.rows))
        ones = tf.ones((flat.shape[0], 1), flat.dtype)
        return tf.concat([flat, ones], axis=1), tf.reshape(targets, (-1, sums.shape[-1])), weight

    def _choose(self, positions: int) -> tuple[np.ndarray | None, float]:
        if self._wanted >= positions:
            return None, 1.0
        chosen = self._rng.choice(positions, self._wanted, replace=False)
        return np.sort(chosen), positions / self._wanted

    def _all(self, read: tf.Tensor) -> tf.Tensor:
        """Return all vectors, ``(batch, positions, rows)``."""
        layer = self._layer
        read = tf.cast(read, tf.float32)
        if isinstance(layer, layers.Dense):
            return tf.reshape(read, (read.shape[0], -1, read.shape[-1]))
        if tuple(layer.kernel_size) == (1, 1) and layer.padding == "valid":
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
