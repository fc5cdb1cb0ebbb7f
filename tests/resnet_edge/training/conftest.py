"""Tiny networks and pictures whose class is their brightest colour."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from resnet_edge.model.resnet50 import resnet50
from resnet_edge.training.labelled_pictures import LabelledPictures

CLASSES = 3


@pytest.fixture
def make_pictures() -> Callable[[int, int], LabelledPictures]:
    """A function of count and seed."""

    def make(count: int, seed: int) -> LabelledPictures:
        generator = np.random.default_rng(seed)
        labels = np.arange(count, dtype=np.int64) % CLASSES
        pictures = generator.integers(0, 100, (count, 32, 32, 3))
        for picture, label in zip(pictures, labels, strict=True):
            picture[..., label] += 120
        return LabelledPictures(pictures.astype(np.uint8), labels, f"pictures {count} {seed}")

    return make


@pytest.fixture
def make_resnet() -> Callable[[], keras.Model]:
    """The same random network at every call."""

    def make() -> keras.Model:
        keras.utils.set_random_seed(1)
        return resnet50((32, 32, 3), CLASSES, width=0.125)

    return make


@pytest.fixture
def make_small() -> Callable[[], keras.Model]:
    """A user's own network: two stages, names that tell nothing, the same at every call."""

    def make() -> keras.Model:
        keras.utils.set_random_seed(2)
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                layers.Conv2D(4, 3, strides=4, padding="same", name="early"),
                layers.BatchNormalization(name="early_norm"),
                layers.ReLU(),
                layers.Conv2D(8, 3, strides=2, padding="same", name="late"),
                layers.BatchNormalization(name="late_norm"),
                layers.ReLU(),
                layers.GlobalAveragePooling2D(),
                layers.Dropout(0.5, name="own_dropout"),
                layers.Dense(CLASSES, activation="softmax", name="answer"),
            ],
            name="small",
        )

    return make
