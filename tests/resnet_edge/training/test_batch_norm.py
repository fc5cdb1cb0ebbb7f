import keras
import numpy as np
import tensorflow as tf

from resnet_edge.training.batch_norm import (
    TRAINING_MOMENTUM,
    ExactStatistics,
    batch_normalizations,
    follow_faster,
)


def make_model():
    norm = keras.layers.BatchNormalization()
    return keras.Sequential([keras.Input((2,)), norm]), norm


def test_exact_statistics_are_those_of_all_pictures():
    model, norm = make_model()
    data = np.random.default_rng(0).normal([3, -1], [2, 0.5], (64, 2)).astype(np.float32)
    ExactStatistics(model).take(tf.data.Dataset.from_tensor_slices(data).batch(16))
    np.testing.assert_allclose(norm.moving_mean, data.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, data.var(axis=0), rtol=1e-4)
    assert norm.momentum == 0.99


def test_they_can_be_taken_again_after_the_weights_changed():
    model, norm = make_model()
    statistics = ExactStatistics(model)
    for shift in (0.0, 10.0):
        data = np.array([[shift, 1], [shift + 2, 3]], np.float32)
        statistics.take(tf.data.Dataset.from_tensors(data))
        np.testing.assert_allclose(norm.moving_mean, [shift + 1, 2], rtol=1e-5)


def test_nested_batch_normalizations_are_found():
    inner, norm = make_model()
    outer = keras.Sequential([keras.Input((2,)), inner])
    assert batch_normalizations(outer) == [norm]
    follow_faster(outer)
    assert norm.momentum == TRAINING_MOMENTUM
