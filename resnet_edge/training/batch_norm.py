"""Exact statistics for batch normalization.

Source: Y. Wu, J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021,
https://arxiv.org/abs/2105.07576, section 3 ("PreciseBN"): a moving average lags behind weights that
change fast, so the statistics are computed again with the weights as they are.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

TRAINING_MOMENTUM = 0.9
"""Keras' default of 0.99 needs some hundred steps to follow, and a short training has no more."""


def batch_normalizations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the batch normalizations of a model, nested ones too."""
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def follow_faster(model: keras.Model) -> None:
    """Let the moving averages follow within some ten steps, so that validation means something."""
    for layer in batch_normalizations(model):
        layer.momentum = TRAINING_MOMENTUM


class ExactStatistics:
    """Takes batch normalization's statistics over pictures, in place of the moving averages.

    Every layer normalizes by its batch meanwhile, as in training. The mean is the mean of the
    batches' means; the variance is the mean of their variances plus the variance of their means.
    """

    def __init__(self, model: keras.Model) -> None:
        self._norms = batch_normalizations(model)
        self._forward = tf.function(lambda x: model(x, training=True), reduce_retracing=True)

    def take(self, pictures: tf.data.Dataset) -> None:
        """Replace the statistics.

        Args:
            pictures: Batches of normalized pictures, all of one size.
        """
        momenta = [layer.momentum for layer in self._norms]
        for layer in self._norms:
            layer.momentum = 0.0  # while traced: the moving average is the last batch's statistic
        count = 0
        means = [np.zeros(layer.moving_mean.shape) for layer in self._norms]
        squares = [np.zeros(layer.moving_mean.shape) for layer in self._norms]
        for batch in pictures:
            self._forward(batch)
            count += 1
            for mean, square, layer in zip(means, squares, self._norms, strict=True):
                of_batch = keras.ops.convert_to_numpy(layer.moving_mean).astype(np.float64)
                mean += of_batch
                square += keras.ops.convert_to_numpy(layer.moving_variance) + of_batch**2
        for mean, square, layer, momentum in zip(means, squares, self._norms, momenta, strict=True):
            mean /= count
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(np.maximum(square / count - mean**2, 0.0))
            layer.momentum = momentum
