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
