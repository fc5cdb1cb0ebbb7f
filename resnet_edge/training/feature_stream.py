"""Cached features to training batches by one graph, which takes longer to build than a step."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from resnet_edge.training.shuffled_features import ShuffledFeatures
from resnet_edge.training.standardization import Standardization

_ROWS = 1024
"""Features handed on at once, at least."""

Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class FeatureStream:
    """Batches of standardized features in an order of each epoch's own.

    Each picture comes once an epoch, as one of its views at random. The graph is built once; an
    epoch only changes what it reads.
    """

    def __init__(
        self,
        features: ShuffledFeatures,
        standardization: Standardization,
        labels: NDArray[np.int64],
        class_weights: NDArray[np.float32],
        batch_size: int,
    ) -> None:
        self._features = features
        self._standardization = standardization
        self._labels = labels
        self._class_weights = class_weights
        chunk = -(-_ROWS // batch_size) * batch_size
        positions = tf.data.Dataset.range(len(labels)).batch(chunk)
        drawn = positions.map(self._load).rebatch(batch_size, drop_remainder=True)
        steps = tf.data.experimental.assert_cardinality(len(labels) // batch_size)
        self._dataset = drawn.apply(steps).prefetch(2)

    def __call__(self, seed: int) -> tf.data.Dataset:
        """Return the epoch that ``seed`` draws; the one before must have been read to its end.

        Args:
            seed: The same seed draws the same order and views.

        Returns:
            A dataset of features ``(batch, channels)``, one-hot targets ``(batch, classes)`` and
            weights ``(batch,)``, all float32.
        """
        self._features.draw(seed)
        return self._dataset

    def _load(self, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        kinds = (tf.float32, tf.float32, tf.float32)
        features, targets, weights = tf.numpy_function(self._read, [positions], kinds)
        return (
            tf.ensure_shape(features, (None, self._features.channels)),
            tf.ensure_shape(targets, (None, len(self._class_weights))),
            tf.ensure_shape(weights, (None,)),
        )

    def _read(self, positions: NDArray[np.int64]) -> Batch:
        features, rows = self._features.read(positions)
        labels = self._labels[rows]
        targets = np.zeros((len(rows), len(self._class_weights)), np.float32)
        targets[np.arange(len(rows)), labels] = 1
        return self._standardization.apply(features), targets, self._class_weights[labels]
