"""Calls with ``training=True``: named, and exported as Keras' predict answers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from resnet_edge.model.classifiers import Classifier, read_classifier

SHAPE = (8, 8, 3)


def classifier(layer: keras.layers.Layer, folder: Path, training: bool | None = True) -> Classifier:
    """A classifier that calls one layer so, loaded; its answers are compared with predict's."""
    image = keras.Input(SHAPE)
    x = image if training is None else layer(image, training=training)
    x = layer(image) if training is None else x
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.Flatten()(x)))
    model.save(folder / "m.keras")
    found = read_classifier(folder / "m.keras")
    pictures = np.random.default_rng(0).normal(0, 2, (4, *SHAPE)).astype(np.float32)
    got = found.model(pictures, training=False)
    expected = model.predict(pictures, verbose=0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(got), expected, atol=1e-6)
    return found


def norm(trainable: bool = True) -> layers.BatchNormalization:
    return layers.BatchNormalization(
        name="norm", trainable=trainable, moving_mean_initializer="ones"
    )


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dropout(0.5, name="norm"),
        layers.GaussianNoise(0.5, name="norm"),
        norm(),
        keras.Sequential([keras.Input(SHAPE), norm()], name="norm"),
        layers.SpectralNormalization(layers.Conv2D(2, 1), name="norm"),
    ],
)
def test_a_call_in_training_is_named(layer: keras.layers.Layer, tmp_path: Path) -> None:
    (warning,) = classifier(layer, tmp_path).warnings
    assert warning == (
        "'norm': called with training=True; the exported files answer as in inference, like "
        "Keras' predict, and unlike model(pictures), which is random or depends on the batch"
    )


@pytest.mark.parametrize(
    ("layer", "training"),
    [
        (layers.Dropout(0.0), True),
        (norm(trainable=False), True),
        (keras.Sequential([keras.Input(SHAPE), norm()]), False),
        (layers.Dropout(0.5), None),
        (layers.RandomFlip(), None),  # Keras records training=True for it by itself
        (keras.Sequential([keras.Input(SHAPE), layers.RandomFlip()]), None),
        (layers.Conv2D(2, 1), None),
    ],
)
def test_a_call_without_effect_is_not(
    layer: keras.layers.Layer, training: bool | None, tmp_path: Path
) -> None:
    assert classifier(layer, tmp_path, training).warnings == ()
