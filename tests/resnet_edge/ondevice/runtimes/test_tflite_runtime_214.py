"""Every TFLite file runs correctly in tflite-runtime 2.14, the last release, proven by its answers.

It needs NumPy 1, so it gets its own environment, made once per session from the package index.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet_edge.model.resnet50 import resnet50

pytestmark = pytest.mark.slow

PACKAGES = ("tflite-runtime==2.14.0", "numpy<2", "pillow")
NAMES = (
    *("fp32.tflite", "fp16.tflite", "dynamic.tflite"),
    *("int8.tflite", "int8_full.tflite", "int16x8.tflite"),
)
Elsewhere = Callable[..., tuple[str, np.ndarray]]


@pytest.fixture(scope="session")
def python_214(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with tflite-runtime 2.14."""
    if sys.version_info[:2] > (3, 11):
        version = ".".join(map(str, sys.version_info[:2]))
        pytest.skip(f"tflite-runtime 2.14 has wheels up to Python 3.11; this is {version}")
    folder = tmp_path_factory.mktemp("tflite_runtime_214")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode:
        pytest.skip(f"pip cannot install {', '.join(PACKAGES)}: {install.stderr.strip()[-300:]}")
    return python


def random_resnet() -> keras.Model:
    """A narrow ResNet50 whose batch norms hold statistics far from their defaults."""
    keras.utils.set_random_seed(0)
    model = resnet50((32, 32, 3), 5, width=0.125)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            low_high = ((0.5, 1.0), (-0.3, 0.3), (-0.5, 0.5), (0.5, 2.0))
            layer.set_weights([rng.uniform(*ends, size) for ends in low_high])
    return model


def depthwise_network() -> keras.Model:
    """A network for phones: depthwise convolutions, ReLU6, a batch norm that folds."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = keras.Input((40, 28, 3))
    y = layers.Conv2D(8, 3, strides=2, use_bias=False)(layers.Rescaling(1 / 60)(x))
    y = layers.ReLU(6)(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = layers.ReLU(6)(layers.BatchNormalization()(y))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 1, activation="relu")(y))
    head = layers.Dense(5, kernel_initializer=keras.initializers.RandomNormal(stddev=2.0))
    return keras.Model(x, head(y))


@pytest.fixture(scope="session", params=[random_resnet, depthwise_network])
def files(request: pytest.FixtureRequest, export, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    return export(request.param(), folder, NAMES, ("a", "b", "c", "d", "e"))


@pytest.mark.parametrize(
    ("name", "of_keras", "of_litert"),
    [
        ("fp32.tflite", 1e-5, 1e-5),
        ("fp16.tflite", 2e-3, 1e-5),
        ("dynamic.tflite", 0.05, 0.03),
        ("int8.tflite", 0.1, 0.03),
        ("int8_full.tflite", 0.1, 0.03),
        ("int16x8.tflite", 0.05, 0.01),
    ],
)
def test_answers_equal_keras_and_litert(
    files,
    python_214: Path,
    answers_elsewhere: Elsewhere,
    tmp_path: Path,
    name: str,
    of_keras: float,
    of_litert: float,
) -> None:
    path = files.folder / name
    title, old = answers_elsewhere(python_214, path, files.pictures, tmp_path)
    assert title == "tflite-runtime 2.14.0"
    title, new = answers_elsewhere(Path(sys.executable), path, files.pictures, tmp_path)
    assert title.startswith("LiteRT ")
    # Uniform answers are what a file gives that this runtime only seems to take.
    assert files.expected.std(axis=1).min() > 0.05
    np.testing.assert_allclose(old, files.expected, atol=of_keras)
    np.testing.assert_allclose(new, files.expected, atol=of_keras)
    np.testing.assert_allclose(old, new, atol=of_litert)
