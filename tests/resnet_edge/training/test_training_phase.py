import keras
import numpy as np
import pytest

from resnet_edge.training.picture_stream import batches
from resnet_edge.training.training_phase import Measurement


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [(0.0, -np.log(0.5)), (0.2, -0.8 * np.log(0.5) - 0.1 * (np.log(0.5) + np.log(0.5)))],
)
def test_loss_and_accuracy_by_hand(smoothing, expected):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Softmax()(inputs))
    samples = np.array([[0, 0], [0, 0], [0, 0]], np.float32)
    stream = batches(lambda i: samples[i], (2,), np.float32, np.arange(3), 2)
    loss, accuracy = Measurement(model, smoothing)(stream, np.array([0, 0, 1]))
    assert loss == pytest.approx(expected)
    assert accuracy == pytest.approx(2 / 3)  # a tie goes to class 0


def test_a_split_in_batches_is_measured_as_in_one():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Softmax()(inputs))
    samples = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    labels = np.arange(50) % 3
    measure = Measurement(model, 0.1)
    at_once, *pieces = (
        measure(batches(lambda i: samples[i], (3,), np.float32, np.arange(50), size), labels)
        for size in (50, 7, 1)
    )
    for loss, accuracy in pieces:
        assert loss == pytest.approx(at_once[0], rel=1e-6)
        assert accuracy == at_once[1]


def test_one_answer_that_is_nan_makes_the_loss_nan():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    samples = np.array([[1, 0], [0, 1], [np.nan, 0]], np.float32)
    stream = batches(lambda i: samples[i], (2,), np.float32, np.arange(3), 1)
    loss, accuracy = Measurement(model, 0.0)(stream, np.array([0, 1, 0]))
    assert np.isnan(loss)
    assert accuracy == 0.0
