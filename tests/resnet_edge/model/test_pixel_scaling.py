"""A network's own scaling of pixels, and the preprocessing that it was trained with."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import KerasTensor, layers

from resnet_edge.model.pixel_scaling import (
    own_scaling,
    preprocessing_warning,
    scaling_warning,
    statistics_distances,
)

SHAPE = (16, 20, 3)
First = Callable[[KerasTensor], KerasTensor]


def rescaling(x: KerasTensor) -> KerasTensor:
    return layers.Rescaling(1 / 127.5, -1, name="scale")(layers.RandomFlip()(x))


def normalization(x: KerasTensor) -> KerasTensor:
    mean, variance = [0.485 * 255, 0.456 * 255, 0.406 * 255], [(0.229 * 255) ** 2] * 3
    return layers.Normalization(mean=mean, variance=variance, name="scale")(x)


def as_operations(mode: str) -> First:
    return lambda x: keras.applications.imagenet_utils.preprocess_input(x, mode=mode)


def nested(x: KerasTensor) -> KerasTensor:
    image = keras.Input(SHAPE)
    y = layers.Conv2D(2, 3)(layers.Rescaling(1 / 255, name="scale")(image))
    return keras.Model(image, y, name="base")(layers.RandomRotation(0.1)(x))


def sequential(x: KerasTensor) -> KerasTensor:
    front = keras.Sequential([keras.Input(SHAPE), layers.Rescaling(1 / 255)], name="scale")
    return layers.RandomFlip()(front(x))


def network(first: First | None = None) -> keras.Model:
    image = keras.Input(SHAPE)
    x = first(image) if first else image
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(x))
    return keras.Model(image, layers.Dense(2, activation="softmax")(x))


@pytest.mark.parametrize(
    ("first", "black", "white"),
    [
        (rescaling, -1.0, 1.0),
        (normalization, -0.485 / 0.229, (1 - 0.406) / 0.229),
        (as_operations("tf"), -1.0, 1.0),
        (as_operations("torch"), -0.485 / 0.229, (1 - 0.406) / 0.225),
        (as_operations("caffe"), -123.68, 255 - 103.939),
        (nested, 0.0, 1.0),
        (sequential, 0.0, 1.0),
    ],
)
def test_own_scaling(first: First, black: float, white: float) -> None:
    found = own_scaling(network(first))
    assert found is not None
    np.testing.assert_allclose([found.black, found.white], [black, white], rtol=1e-4)


@pytest.mark.parametrize("first", [None, layers.RandomFlip(), layers.ZeroPadding2D()])
def test_no_scaling(first: First | None) -> None:
    model = network(first)
    assert own_scaling(model) is None
    assert scaling_warning(model, "none") is None
    assert scaling_warning(model, "caffe") is None


@pytest.mark.parametrize("first", [rescaling, normalization, nested, sequential])
@pytest.mark.parametrize("preprocessing", ["caffe", "torch", "tf", "unit"])
def test_normalized_twice(first: First, preprocessing: str) -> None:
    warning = scaling_warning(network(first), preprocessing)
    assert warning is not None
    assert warning.startswith("the model scales pixels itself: layer 'scale' makes ")
    assert f"with --preprocessing {preprocessing} before it" in warning
    assert "normalized twice; pass --preprocessing none" in warning
    assert scaling_warning(network(first), "none") is None


def test_the_values_are_said() -> None:
    warning = scaling_warning(network(rescaling), "unit")
    assert "makes -1 to 1 of levels 0 to 255; with --preprocessing unit before it -1 to -0.992" in (
        warning or ""
    )


def test_a_scaling_of_unit_pixels_needs_them() -> None:
    """``Rescaling(2, -1)`` makes -1 to 1 of pixels in [0, 1], and 509 of raw ones."""
    model = network(layers.Rescaling(2.0, -1.0, name="scale"))
    warning = scaling_warning(model, "none")
    assert "-1 to 509 behind --preprocessing none" in (warning or "")
    assert "pass --preprocessing unit" in (warning or "")
    assert scaling_warning(model, "unit") is None


def trained(factor: float) -> tuple[keras.Model, np.ndarray]:
    """A network whose batch normalization saw pixels times ``factor``, and such pictures."""
    pictures = np.random.default_rng(0).integers(0, 256, (8, *SHAPE)).astype(np.uint8)
    image = keras.Input(SHAPE)
    conv = layers.Conv2D(4, 3, use_bias=False)
    features = conv(image)
    norm = layers.BatchNormalization(name="first")
    x = layers.GlobalAveragePooling2D()(norm(features))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(x))
    values = np.asarray(keras.Model(image, features)(pictures * np.float32(factor)))
    values = values.reshape(-1, 4)
    norm.set_weights([np.ones(4), np.zeros(4), values.mean(0), values.var(0)])
    return model, pictures


@pytest.mark.parametrize(("factor", "right"), [(1.0, "none"), (1 / 255, "unit")])
def test_the_first_batch_norm_remembers(factor: float, right: str) -> None:
    model, pictures = trained(factor)
    distances = statistics_distances(model, pictures)
    assert min(distances, key=lambda name: distances[name]) == right
    assert distances[right] < 0.1
    assert preprocessing_warning(model, right, pictures) is None
    wrong = "none" if right == "unit" else "unit"
    warning = preprocessing_warning(model, wrong, pictures)
    assert f"behind --preprocessing {wrong} the first batch normalization gets" in (warning or "")
    assert f"pass --preprocessing {right} if the model was trained so" in (warning or "")


def test_a_nested_batch_norm_remembers_too() -> None:
    inner, pictures = trained(1 / 255)
    image = keras.Input(SHAPE)
    model = keras.Model(image, inner(layers.RandomFlip()(image)))
    assert statistics_distances(model, pictures)["unit"] < 0.1


def test_trained_with_both_is_believed() -> None:
    """A network that scales itself and was trained behind a preprocessing is no mistake."""
    model, pictures = trained(1 / 255 / 255)
    image = keras.Input(SHAPE)
    both = keras.Model(image, model(layers.Rescaling(1 / 255)(image)))
    assert scaling_warning(both, "unit") is not None
    assert preprocessing_warning(both, "unit", pictures) is None
    assert preprocessing_warning(both, "unit") is not None  # without pictures nothing speaks for it


def test_an_untrained_batch_norm_says_nothing() -> None:
    model, pictures = trained(1.0)
    model.get_layer("first").set_weights([np.ones(4), np.zeros(4), np.zeros(4), np.ones(4)])
    assert statistics_distances(model, pictures) == {}
    assert preprocessing_warning(model, "unit", pictures) is None
