"""Integer files of many layers, asked in their runtimes, beside Keras' answers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from layer_builds import BUILDS, CHANNELS, SIDE, Build, classifier, normalized, preprocessed

from converters.errors import ModelConversionError
from converters.onnx import conversion as to_onnx
from converters.onnx.float16 import convert_float16
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.answer_metrics import centred_log_probabilities, sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import calibrate, for_int16_activations, for_litert
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import QuantizationSettings, Target, WeightGrid
from converters.quantization.tflite import quantize_static
from converters.rewrites.all_rewrites import optimize
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite

Classify = Callable[[bytes, np.ndarray], np.ndarray]
ClassifyOnnx = Callable[[onnx.ModelProto, np.ndarray], np.ndarray]
COUNT = 48

WITHOUT_INTEGER_KERNEL = {"gates", "normalizations", "shapes", "attention"}
"""Networks with softplus, normalization, or a comparison."""


def temperature(x: object) -> object:
    """Features that are divided by a temperature, which the head may take up."""
    return layers.Rescaling(1 / 1.7)(layers.Conv2D(CHANNELS, 3, activation="relu")(x))


@dataclass
class Exported:
    """A classifier with the default calibration."""

    build: Build
    first: Build

    @cached_property
    def model(self) -> keras.Model:
        return classifier(self.build, self.first)

    @cached_property
    def pictures(self) -> np.ndarray:
        random = np.random.default_rng(0)
        coarse = random.integers(0, 256, (COUNT, SIDE // 4, SIDE // 4, 3)).repeat(4, 1).repeat(4, 2)
        mixed = 0.7 * coarse + 0.3 * random.integers(0, 256, (COUNT, SIDE, SIDE, 3))
        return (mixed * random.uniform(0.2, 1, (COUNT, 1, 1, 1))).astype(np.uint8)

    @cached_property
    def serving(self) -> keras.Model:
        return serving_model(optimize(self.model).model, PREPROCESSINGS["none"])

    @cached_property
    def float32(self) -> bytes:
        return to_tflite.convert_float32(self.serving)

    @cached_property
    def calibrated(self) -> CalibratedNetwork:
        names = {layer.name for layer in self.serving._flatten_layers()}
        method = QuantizationSettings(grid=WeightGrid.PAIR_SAFE)
        return calibrate(self.float32, self.pictures, method, names)

    def quality(self, answers: np.ndarray) -> float:
        """Return the mean SQNR of a picture's centred log-probabilities, against Keras', in dB."""
        expected = self.model.predict(self.pictures.astype(np.float32), verbose=0)
        assert np.ptp(expected, axis=0).max() > 0.01
        pairs = zip(*map(centred_log_probabilities, (expected, answers)), strict=True)
        return float(np.mean([sqnr_db(one, other) for one, other in pairs]))


NETWORKS = [*((build, normalized) for build in (*BUILDS, temperature)), (temperature, preprocessed)]


@pytest.fixture(
    scope="module",
    params=[Exported(*builds) for builds in NETWORKS],
    ids=lambda made: f"{made.first.__name__}-{made.build.__name__}",
)
def exported(request: pytest.FixtureRequest) -> Exported:
    return request.param


def test_float_onnx(exported: Exported, classify_onnx: ClassifyOnnx) -> None:
    float32 = to_onnx.convert_float32(exported.serving)
    assert exported.quality(classify_onnx(float32, exported.pictures)) > 110
    assert exported.quality(classify_onnx(convert_float16(float32), exported.pictures)) > 50


def test_int8_tflite(exported: Exported, classify: Classify) -> None:
    scheme = for_litert(exported.calibrated, exported.pictures)
    data = quantize_static(
        exported.float32, exported.calibrated.network, scheme, integer_only=False
    )
    assert exported.quality(classify(data, exported.pictures)) > 28


def test_int8_full_tflite(exported: Exported, classify: Classify) -> None:
    """Its softmax answers in steps of 1/256, which is most of the noise."""
    scheme = for_litert(exported.calibrated, exported.pictures, integer_only=True)

    def made() -> bytes:
        return quantize_static(
            exported.float32, exported.calibrated.network, scheme, integer_only=True
        )

    if exported.build.__name__ in WITHOUT_INTEGER_KERNEL:
        with pytest.raises(ModelConversionError, match="stay in float; expected integers only"):
            made()
    else:
        assert exported.quality(classify(made(), exported.pictures)) > 12


def test_int16x8_tflite(exported: Exported, classify: Classify) -> None:
    scheme = for_int16_activations(exported.calibrated, exported.pictures)
    network = exported.calibrated.network
    data = quantize_static(
        exported.float32, network, scheme, integer_only=False, activation_bits=16
    )
    assert exported.quality(classify(data, exported.pictures)) > 38


def test_int8_onnx(exported: Exported, classify_onnx: ClassifyOnnx) -> None:
    float32 = to_onnx.convert_float32(exported.serving)
    made = quantize_int8(float32, exported.calibrated, exported.pictures, Target.AUTO)
    assert not made.own_ranges
    assert exported.quality(classify_onnx(made.model, exported.pictures)) > 28
