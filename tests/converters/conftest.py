"""One narrow ResNet50 with random statistics, converted once per session into every format."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from converters.onnx import conversion as to_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.quantization import onnx as onnx_quantization
from converters.quantization import tflite as tflite_quantization
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import calibrate
from converters.quantization.measured_ranges import measure_ranges
from converters.quantization.settings import Level, QuantizationSettings, Target, WeightGrid
from converters.quantization.tensor_range import Range
from converters.rewrites.all_rewrites import optimize
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite
from resnet_edge.model.resnet50 import resnet50

SHAPE = (32, 32, 3)
LABELS = ("cat", "dog", "été", "a b", "zebra")


def _randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every weight, batch-norm statistics too, values far from their defaults."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _randomize(layer, seed + 1)
        elif isinstance(layer, keras.layers.BatchNormalization):
            size = layer.moving_mean.shape[0]
            layer.moving_mean.assign(rng.normal(0, 0.5, size))
            layer.moving_variance.assign(rng.uniform(0.5, 2.0, size))
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.0, size))
            if layer.center:
                layer.beta.assign(rng.normal(0, 0.2, size))
        else:
            for weight in layer.trainable_weights:
                fan_in = max(1, int(np.prod(weight.shape[:-1])))
                weight.assign(rng.normal(0, np.sqrt(1 / fan_in), weight.shape))
    return model


@pytest.fixture(name="randomize", scope="session")
def _randomize_fixture() -> Callable[..., keras.Model]:
    return _randomize


@pytest.fixture(name="answers", scope="session")
def _answers() -> Callable[[keras.Model, np.ndarray], np.ndarray]:
    """A Keras model's answers in inference, as an array."""

    def answer(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
        return np.asarray(
            keras.ops.convert_to_numpy(model(pictures.astype(np.float32), training=False))
        )

    return answer


@dataclass(frozen=True)
class Tiny:
    """A narrow ResNet50 on its way out; each stage is made once, when a test first wants it."""

    model: keras.Model
    """As a user has it: batch normalization unfolded, caffe preprocessing outside."""
    serving: keras.Model
    pictures: np.ndarray
    """uint8 (16, 32, 32, 3)."""
    expected: np.ndarray
    """The answers of ``serving`` to them."""

    @cached_property
    def tflite_float32(self) -> bytes:
        return to_tflite.convert_float32(self.serving)

    @cached_property
    def ranges(self) -> Mapping[str, Range]:
        (measured,) = measure_ranges(self.tflite_float32, self.pictures, threads=1)
        return measured.ranges()

    @cached_property
    def fast(self) -> CalibratedNetwork:
        method = QuantizationSettings(Level.FAST, grid=WeightGrid.PAIR_SAFE, few_pictures=True)
        return calibrate(self.tflite_float32, self.pictures, method)

    @cached_property
    def tflite(self) -> dict[str, bytes]:
        """Every TFLite precision as its converter returns it, by artifact name."""
        float32, quantize = self.tflite_float32, tflite_quantization
        network, scheme = self.fast.network, self.fast.scheme
        return {
            "fp32": float32,
            "fp16": quantize.quantize_float16(float32),
            "dynamic": quantize.quantize_dynamic(float32),
            "int8": quantize.quantize_static(float32, network, scheme, integer_only=False),
            "int8_full": quantize.quantize_static(float32, network, scheme, integer_only=True),
        }

    @cached_property
    def onnx_float32(self) -> onnx.ModelProto:
        return to_onnx.convert_float32(self.serving)

    @cached_property
    def onnx_int8(self) -> onnx.ModelProto:
        model = onnx_quantization.quantize_int8(
            self.onnx_float32, self.fast, self.pictures, Target.AUTO
        ).model
        to_onnx.use_uint8_input(model)
        return model


@pytest.fixture(scope="session")
def tiny(answers: Callable[..., np.ndarray]) -> Tiny:
    """Not to be changed."""
    model = _randomize(resnet50(SHAPE, len(LABELS), width=0.125))
    serving = serving_model(optimize(model).model, PREPROCESSINGS["caffe"])
    pictures = np.random.default_rng(5).integers(0, 256, (16, *SHAPE), dtype=np.uint8)
    # Pictures of very different contrast, so that the answers differ.
    pictures = (pictures * np.linspace(0.2, 1, 16).reshape(-1, 1, 1, 1)).astype(np.uint8)
    return Tiny(model, serving, pictures, answers(serving, pictures))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and pictures beside the repository."""
    folder = Path(__file__).resolve().parents[3] / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: real weights and pictures lie there")
    return folder
