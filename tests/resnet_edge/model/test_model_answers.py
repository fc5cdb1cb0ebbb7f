"""Heads: what becomes class probabilities, and what is refused with advice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from resnet_edge.errors import ModelError
from resnet_edge.model.classifiers import Classifier, read_classifier
from resnet_edge.model.weights import build_model

SHAPE = (16, 16, 3)
TWO = "one sigmoid unit: exported as two classes, the second of which is the unit's"


def pictures(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (3, *shape)).astype(np.float32)


def predict(model: keras.Model, batch: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(batch, training=False)))


def features() -> tuple[keras.KerasTensor, keras.KerasTensor]:
    image = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, strides=4, activation="relu")(layers.Rescaling(1 / 255)(image))
    return image, layers.GlobalAveragePooling2D()(x)


def read(model: keras.Model, folder: Path) -> Classifier:
    model.save(folder / "m.keras")
    return read_classifier(folder / "m.keras")


def dense_unit() -> keras.Model:
    image, x = features()
    return keras.Model(image, layers.Dense(1, "sigmoid", bias_initializer="ones", name="cat")(x))


def unit_and_activation() -> keras.Model:
    image, x = features()
    return keras.Model(image, layers.Activation("sigmoid")(layers.Dense(1, use_bias=False)(x)))


def unit_and_function() -> keras.Model:
    image, x = features()
    return keras.Model(image, keras.ops.sigmoid(layers.Dense(1)(layers.Dropout(0.5)(x))))


def nested_unit() -> keras.Model:
    return keras.Sequential([keras.Input(SHAPE), dense_unit()])


def pooled_unit() -> keras.Model:
    """A unit that no Dense layer makes."""
    image = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(1, 3)(image / 255.0))
    return keras.Model(image, layers.Activation("sigmoid")(x))


def twice() -> keras.Model:
    image, x = features()
    return keras.Model(image, layers.Activation("sigmoid")(layers.Dense(1, "relu")(x)))


@pytest.mark.parametrize(
    "build", [dense_unit, unit_and_activation, unit_and_function, nested_unit, pooled_unit, twice]
)
def test_one_sigmoid_unit_is_two_classes(build: Callable[[], keras.Model], tmp_path: Path) -> None:
    model = build()
    found = read(model, tmp_path)
    unit, pair = predict(model, pictures()), predict(found.model, pictures())
    assert found.notes == (TWO,)
    np.testing.assert_allclose(pair, np.concatenate([1 - unit, unit], 1), atol=1e-6)


def test_the_unit_s_layer_keeps_its_name(tmp_path: Path) -> None:
    assert read(dense_unit(), tmp_path).model.get_layer("cat").units == 2


@pytest.mark.parametrize("from_logits", [True, False])
def test_one_logit_needs_the_loss_to_say_so(from_logits: bool, tmp_path: Path) -> None:
    image, x = features()
    model = keras.Model(image, layers.Dense(1)(x))
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=from_logits))
    if not from_logits:
        with pytest.raises(ModelError, match=r"answers one number with no activation; .*quantity"):
            read(model, tmp_path)
        return
    second = 1 / (1 + np.exp(-predict(model, pictures())))
    np.testing.assert_allclose(
        predict(read(model, tmp_path).model, pictures())[:, 1:], second, atol=1e-6
    )


def test_several_labels_are_named_and_refused(tmp_path: Path) -> None:
    image, x = features()
    with pytest.raises(ModelError) as caught:
        read(keras.Model(image, layers.Dense(3, "sigmoid")(x)), tmp_path)
    message = str(caught.value)
    assert "ends in a sigmoid over 3 units, a probability for each of several labels" in message
    assert "(multi-label); expected one class for each picture" in message
    assert "put a softmax in place of the sigmoid" in message


def test_log_softmax_becomes_softmax(tmp_path: Path) -> None:
    image, x = features()
    model = keras.Model(image, layers.Dense(3, "log_softmax")(x))
    answers = predict(read(model, tmp_path).model, pictures())
    np.testing.assert_allclose(answers, np.exp(predict(model, pictures())), atol=1e-6)


def test_an_activation_that_gives_no_probabilities(tmp_path: Path) -> None:
    image, x = features()
    with pytest.raises(ModelError, match=r"ends in 'tanh' over 3 units; expected a softmax"):
        read(keras.Model(image, layers.Dense(3, "tanh")(x)), tmp_path)
    with pytest.raises(ModelError, match=r"one number with 'softmax'; expected a sigmoid"):
        read(keras.Model(image, layers.Dense(1, "softmax")(x)), tmp_path)


@pytest.mark.parametrize("pooled", [True, False])
def test_features_without_a_head(pooled: bool, tmp_path: Path) -> None:
    image, x = features()
    model = keras.Model(image, x if pooled else layers.Conv2D(4, 3, activation="relu")(image))
    with pytest.raises(ModelError) as caught:
        read(model, tmp_path)
    assert "features of a network without a head; expected (batch, classes)" in str(caught.value)
    assert "`resnet-edge finetune --weights`" in str(caught.value)
    loaded = build_model(tmp_path / "m.keras", SHAPE, 3)
    assert loaded.model.output_shape == (None, 3)
    assert "it has no head; a new one of 3 classes starts at random" in loaded.notes


def test_pooled_logits_are_no_features(tmp_path: Path) -> None:
    image = keras.Input(SHAPE)
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(image)))
    assert read(model, tmp_path).model.output_shape == (None, 3)


def test_a_unit_is_kept_for_two_classes_and_replaced_for_three(tmp_path: Path) -> None:
    model = dense_unit()
    model.save(tmp_path / "m.keras")
    pair = predict(build_model(tmp_path / "m.keras", SHAPE, 2).model, pictures())
    np.testing.assert_allclose(pair[:, 1:], predict(model, pictures()), atol=1e-6)
    assert build_model(tmp_path / "m.keras", SHAPE, 3).model.output_shape == (None, 3)


def test_labels_of_one_picture_get_a_softmax_head_in_fine_tuning(tmp_path: Path) -> None:
    image, x = features()
    keras.Model(image, layers.Dense(3, "sigmoid", name="tags")(x)).save(tmp_path / "m.keras")
    loaded = build_model(tmp_path / "m.keras", SHAPE, 3)
    assert "the head tags (a sigmoid for each label) has 3 classes" in loaded.notes[1]
    assert loaded.model.layers[-1].activation is keras.activations.softmax


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "bfloat16", "mixed_bfloat16"])
def test_half_precision_is_rebuilt_in_float32(policy: str, tmp_path: Path) -> None:
    image = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255, dtype=policy)(image)
    inner = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(4, 3, activation="relu", dtype=policy)]
    )
    x = layers.GlobalAveragePooling2D(dtype=policy)(inner(x))
    model = keras.Model(image, layers.Dense(3, "softmax", dtype=policy)(x))
    found = read(model, tmp_path)
    assert found.notes == (f"it computes in {policy}: rebuilt in float32 with the same weights",)
    layers_ = found.model._flatten_layers()
    assert {layer.compute_dtype for layer in layers_} == {"float32"}
    for got, stored in zip(found.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, stored.astype(np.float32))
    np.testing.assert_allclose(
        predict(found.model, pictures()), predict(model, pictures()).astype(np.float32), atol=0.02
    )


@pytest.mark.parametrize("axes", [3, 2])
def test_grey_pictures_are_weighed_from_rgb(axes: int, tmp_path: Path) -> None:
    image = keras.Input((16, 20, 1)[:axes])
    x = layers.Dense(3, "softmax")(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, x)
    found = read(model, tmp_path)
    assert found.grey
    assert found.model.input_shape == (None, 16, 20, 3)
    rgb = pictures((16, 20, 3))
    level = 0.299 * rgb[..., :1] + 0.587 * rgb[..., 1:2] + 0.114 * rgb[..., 2:]
    expected = predict(model, level if axes == 3 else level[..., 0])
    np.testing.assert_allclose(predict(found.model, rgb), expected, atol=1e-6)


def test_integer_input_takes_float(tmp_path: Path) -> None:
    image = keras.Input(SHAPE, dtype="uint8")
    x = layers.Dense(3, "softmax")(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, x)
    found = read(model, tmp_path)
    assert found.model.inputs[0].dtype == "float32"
    expected = predict(model, pictures().astype(np.uint8))
    np.testing.assert_allclose(predict(found.model, pictures()), expected, atol=1e-6)
