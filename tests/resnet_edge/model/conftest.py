"""Narrow ResNet50s with random statistics, in both naming schemes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet_edge.model.layer_names import APPLICATION_NAMES
from resnet_edge.model.resnet50 import resnet50

WIDTH = 1 / 16
SHAPE = (32, 32, 3)


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every weight, batch-norm statistics too, values far from their defaults."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.0, size),
                    rng.normal(0, 0.2, size),
                    rng.normal(0, 0.5, size),
                    rng.uniform(0.5, 2.0, size),
                ]
            )
        elif layer.weights:
            kernel, bias = layer.weights
            scale = float(np.sqrt(1 / np.prod(kernel.shape[:-1])))
            layer.set_weights([rng.normal(0, scale, kernel.shape), rng.normal(0, 0.1, bias.shape)])
    return model


def in_application_names(model: keras.Model) -> keras.Model:
    """The same network and weights under keras.applications' names."""
    head = model.layers[-1].name

    def renamed(layer: keras.layers.Layer) -> keras.layers.Layer:
        name = "predictions" if layer.name == head else layer.name
        return type(layer).from_config(
            {**layer.get_config(), "name": APPLICATION_NAMES.get(layer.name, name)}
        )

    clone = keras.models.clone_model(model, clone_function=renamed)
    clone.set_weights(model.get_weights())
    return clone


def answers(model: keras.Model, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    pictures = np.random.default_rng(7).uniform(-120, 120, (2, *shape)).astype(np.float32)
    return np.asarray(keras.ops.convert_to_numpy(model(pictures, training=False)))


@pytest.fixture(scope="session")
def small_resnet() -> keras.Model:
    """Classic names, width 1/16, 32x32, 5 classes. Not to be changed."""
    return randomize(resnet50(SHAPE, 5, width=WIDTH))


@pytest.fixture(scope="session")
def small_application(small_resnet: keras.Model) -> keras.Model:
    """The same network under keras.applications' names. Not to be changed."""
    return in_application_names(small_resnet)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and pictures beside the repository."""
    folder = Path(__file__).resolve().parents[4] / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: real weights and pictures lie there")
    return folder


@pytest.fixture(name="randomize", scope="session")
def _randomize() -> Callable[..., keras.Model]:
    return randomize


@pytest.fixture(name="answers", scope="session")
def _answers() -> Callable[..., np.ndarray]:
    return answers
