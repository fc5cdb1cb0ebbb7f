"""Grey, non-square and free-sized input, half precision and ReLU6, exported and asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from resnet_edge.model.picture_input import GREY_OF_RGB
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.options import CalibrationOptions, DataOptions, ModelOptions, Options
from resnet_edge.steps.export import export

TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "int8": 0.03}
CLASSES = ("blue", "green", "red")
Shape = tuple[int | None, int | None, int]


def build(shape: Shape, dtype: str) -> keras.Model:
    """Inverted residuals of MobileNetV2: ReLU6 in front of depthwise convolutions and sums."""
    x = keras.Input(shape)
    y = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6", dtype=dtype)(x)
    z = layers.Conv2D(12, 1, dtype=dtype)(y)
    z = layers.ReLU(6.0, dtype=dtype)(z)
    z = layers.DepthwiseConv2D(3, padding="same", activation="relu6", dtype=dtype)(z)
    z = layers.Conv2D(8, 1, dtype=dtype)(z)
    y = layers.GlobalAveragePooling2D(dtype=dtype)(layers.Add(dtype=dtype)([y, z]))
    y = layers.Dense(3, activation="softmax", name="head", dtype=dtype)(y)
    return keras.Model(x, y, name="mobile")


@pytest.fixture
def exported(tmp_path: Path, edge_photos: Path) -> Callable[..., Path]:
    """Export a network of random weights, and return the folder of its artifacts."""

    def run(model: keras.Model, formats: str, image_size: int | None) -> Path:
        path = tmp_path / "mobile.keras"
        model.save(path)
        options = Options(
            tmp_path / "out",
            data=DataOptions(image_size=image_size),
            model=ModelOptions(preprocessing="tf"),
            calibration=CalibrationOptions(edge_photos),
            formats=parse_formats(formats),
        )
        done = export(options, path)
        assert done.rebuilt == options.formats
        return options.layout.artifacts

    return run


def draw_weights(model: keras.Model, pictures: np.ndarray) -> list[np.ndarray]:
    """Set weights that float16 holds, with which pictures reach both ends of ReLU6 and differ."""
    rng = np.random.default_rng(3)
    spread = [rng.normal(0.3, 2 / np.sqrt(w.shape[-2]), w.shape) for w in model.weights[:-2:2]]
    bias = [rng.normal(0, 0.5, w.shape) for w in model.weights[1:-2:2]]
    weights = [w for pair in zip(spread, bias, strict=True) for w in pair]
    model.set_weights([*weights, *model.get_weights()[-2:]])
    features = keras.Model(model.inputs, model.layers[-2].output).predict(pictures, verbose=0)
    kernel = rng.normal(size=(8, 3))
    kernel *= 2 / (features @ kernel).std(axis=0)
    halves = [w.astype(np.float16) for w in (*weights, kernel, -(features @ kernel).mean(axis=0))]
    model.set_weights(halves)
    return halves


def pictures_of(photos: Path, height: int, width: int) -> np.ndarray:
    paths = [photos / name / f"{number}.png" for name in CLASSES for number in range(3)]
    pictures = [Image.open(path).resize((width, height)) for path in paths]
    return np.stack([np.asarray(picture) for picture in pictures])


@pytest.mark.parametrize(
    ("shape", "dtype", "image_size", "size", "formats"),
    [
        ((24, 40, 1), "mixed_float16", None, (24, 40), "fp32.tflite,int8.tflite,int8.onnx"),
        ((None, None, 3), "float16", 40, (40, 40), "fp32.tflite,fp16.onnx"),
    ],
)
def test_answers_are_those_of_keras(
    shape: Shape,
    dtype: str,
    image_size: int | None,
    size: tuple[int, int],
    formats: str,
    exported: Callable[..., Path],
    edge_photos: Path,
) -> None:
    model, exact = build(shape, dtype), build(shape, "float32")
    pictures = pictures_of(edge_photos, *size)
    scaled = pictures.astype(np.float64)
    if shape[2] == 1:
        scaled = (scaled @ np.array(GREY_OF_RGB))[..., np.newaxis]
    scaled = (scaled / 127.5 - 1).astype(np.float32)
    model.set_weights(draw_weights(exact, scaled))
    expected = exact.predict(scaled, verbose=0)
    assert len(set(expected.argmax(axis=1))) > 1
    # The user's own network computes in half precision, and answers nearly so.
    np.testing.assert_allclose(model.predict(scaled, verbose=0), expected, atol=0.02)
    artifacts = exported(model, formats, image_size)
    for name in parse_formats(formats):
        artifact = load_artifact(artifacts / name)
        assert artifact.sidecar.image_size == size
        answers = open_runtime(artifact, threads=1).infer(pictures)
        tolerance = TOLERANCE[name.partition(".")[0]]
        np.testing.assert_allclose(answers, expected, atol=tolerance, err_msg=name)
