"""Networks with an error function that is no GELU, in the TFLite formats."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops

from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibration import calibrate
from converters.quantization.settings import Level, QuantizationSettings
from converters.quantization.tflite import quantize_dynamic, quantize_float16, quantize_static
from converters.serving import serving_model
from converters.tflite.conversion import convert_float32

NETWORKS = {
    "a gate of another width": lambda x: x * (1 + ops.erf(x / 2.0)),
    "an activation": lambda x: layers.Activation(ops.erf, name="bent")(x),
    "of a dense layer": lambda x: layers.Dense(4, activation=ops.erf)(x),
    # TFLite's converter does not recognize these as GELU.
    "a negated gelu": lambda x: layers.Activation("gelu")(-x) + layers.Activation("gelu")(x),
    "a gelu before relu": lambda x: layers.ReLU()(layers.Activation("gelu")(x)),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_tflite_precision_answers_as_keras(kind: str, answers, classify: Callable) -> None:
    keras.utils.set_random_seed(2)
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3)(layers.Rescaling(1 / 64, -2.0)(x))
    y = layers.Conv2D(6, 3)(NETWORKS[kind](y))
    y = layers.Dense(3, activation="softmax")(layers.Flatten()(y))
    serving = serving_model(keras.Model(x, y), PREPROCESSINGS["none"])
    pictures = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    expected = answers(serving, pictures)
    assert np.ptp(expected, axis=0).max() > 0.2

    float32 = convert_float32(serving)
    method = QuantizationSettings(Level.FAST, few_pictures=True)
    found = calibrate(float32, pictures, method)
    int8 = quantize_static(float32, found.network, found.scheme, integer_only=False)
    for data, tolerance in (
        (float32, 2e-6),
        (quantize_float16(float32), 3e-3),
        (quantize_dynamic(float32), 0.05),
        (int8, 0.05),
    ):
        np.testing.assert_allclose(classify(data, pictures), expected, atol=tolerance)
