"""Arrays on disk to batches in the network, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from converters.preprocessing import Preprocessing
from resnet_edge.data.pixel_source import ManyPixels
from resnet_edge.training.augmentation import augmentation

INFERENCE_BATCH = 64
"""Pictures in a batch where nothing is trained; measured fastest on 2 cores at 64x64."""


def class_weight(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Weigh classes so that each counts alike and the mean weight of the pictures is 1.

    Args:
        labels: Classes of the training pictures, ``(n,)``.
        classes: Number of classes; those without pictures get weight 0.

    Returns:
        ``n / (classes present * pictures of the class)``, float32 ``(classes,)``.
    """
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.zeros(classes, np.float32)
    weights[counts > 0] = len(labels) / (present * counts[counts > 0])
    return weights


def batches(
    gather: Callable[[NDArray[np.int64]], NDArray[np.generic]],
    sample_shape: tuple[int, ...],
    dtype: type[np.generic],
    order: NDArray[np.int64],
    batch_size: int,
    *,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Stream the samples of ``order`` in batches.

    Args:
        gather: Takes indices ``(batch,)`` and returns their samples ``(batch, *sample_shape)``; it
            is called for one batch at a time, so an array behind it may be larger than memory.
        sample_shape: Shape of one sample.
        dtype: Type of the samples.
        order: Indices in the order they are wanted.
        batch_size: Samples in a batch.
        drop_remainder: True leaves a smaller last batch out.

    Returns:
        A dataset of ``(samples, indices)``.
    """

    def load(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        samples = tf.numpy_function(gather, [indices], tf.as_dtype(dtype), stateful=False)
        return tf.ensure_shape(samples, (indices.shape[0], *sample_shape)), indices

    slices = tf.data.Dataset.from_tensor_slices(order)
    return slices.batch(batch_size, drop_remainder=drop_remainder).map(load)


def picture_batches(
    pictures: ManyPixels,
    preprocessing: Preprocessing,
    order: NDArray[np.int64],
    batch_size: int,
    *,
    augment_seed: int | None = None,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Stream pictures as a network expects them, augmented where a seed is given.

    Returns:
        A dataset of ``(float32 (batch, height, width, 3), indices)``.
    """
    layers = None if augment_seed is None else augmentation(augment_seed)

    def prepare(raw: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        levels = tf.cast(raw, tf.float32)
        if layers is not None:
            levels = layers(levels, training=True)
        return preprocessing.apply(levels), indices

    stream = batches(
        lambda indices: pictures[indices],
        pictures.shape[1:],
        np.uint8,
        order,
        batch_size,
        drop_remainder=drop_remainder,
    )
    return stream.map(prepare)


def with_targets(
    stream: tf.data.Dataset, labels: NDArray[np.int64], weights: NDArray[np.float32]
) -> tf.data.Dataset:
    """Replace the indices of a stream by one-hot targets and sample weights, and prefetch.

    Args:
        stream: Dataset of ``(samples, indices)``.
        labels: Class of each sample, ``(n,)``.
        weights: Weight of each class, ``(classes,)``.

    Returns:
        A dataset of ``(samples, targets (batch, classes), weights (batch,))``.
    """
    all_labels, class_weights = tf.constant(labels), tf.constant(weights)

    def attach(samples: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        chosen = tf.gather(all_labels, indices)
        return samples, tf.one_hot(chosen, len(weights)), tf.gather(class_weights, chosen)

    return stream.map(attach).prefetch(2)
