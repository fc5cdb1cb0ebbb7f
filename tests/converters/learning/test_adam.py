"""The update by one kernel gives what Keras' own Adam gives."""

import numpy as np
import tensorflow as tf

from converters.learning.adam import Adam


def test_it_follows_keras() -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,))]
    ours, theirs = ([tf.Variable(value) for value in values] for _ in range(2))
    mine, keras_adam = Adam(ours), tf.keras.optimizers.Adam(0.02, beta_2=0.99)
    for _ in range(20):
        slopes = [tf.constant(rng.normal(size=value.shape), tf.float32) for value in values]
        mine.apply(slopes, tf.constant(0.02))
        keras_adam.apply_gradients(zip(slopes, theirs, strict=True))
    for one, two, value in zip(ours, theirs, values, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
        assert np.abs(one - value).max() > 0.1


def test_a_variable_without_gradient_stays() -> None:
    one = tf.Variable([1.0, 2.0])
    Adam([one]).apply([None], tf.constant(0.1))
    np.testing.assert_array_equal(one, [1.0, 2.0])
