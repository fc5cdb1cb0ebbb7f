"""Networks of the user's: as models to export, and as models to fine-tune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from resnet_edge.errors import ModelError, UsageError
from resnet_edge.model.classifiers import load_classifier, picture_size, shape_words
from resnet_edge.model.weights import build_model

SHAPE = (32, 32, 3)
Answers = Callable[..., np.ndarray]


def network(
    shape: tuple[int | None, ...] = SHAPE,
    classes: int = 5,
    activation: str | None = "softmax",
    batch: int | None = None,
) -> keras.Model:
    image = keras.Input(shape, batch_size=batch, name="picture")
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation, name="answer")(x), name="mine")


def transfer(backbone: keras.Model, sequential: bool) -> keras.Model:
    """The network at the end of a tutorial on transfer learning."""
    features = keras.Model(backbone.input, backbone.layers[-3].output, name="resnet")
    tail = [
        layers.GlobalAveragePooling2D(),
        layers.Dense(5, activation="softmax", name="answer"),
    ]
    if sequential:
        return keras.Sequential([keras.Input(SHAPE), features, *tail])
    image = keras.Input(SHAPE)
    x = features(layers.Rescaling(0.5)(image))
    for layer in tail:
        x = layer(x)
    return keras.Model(image, x)


def save(model: keras.Model, folder: Path) -> Path:
    model.save(folder / "m.keras")
    return folder / "m.keras"


def test_classifier_comes_back_as_it_is(tmp_path: Path, answers: Answers) -> None:
    model = network()
    loaded = load_classifier(save(model, tmp_path))
    assert loaded.input_shape == (None, *SHAPE)
    np.testing.assert_array_equal(answers(loaded), answers(model))


@pytest.mark.parametrize("sequential", [True, False])
def test_nested_classifier(
    sequential: bool, small_application: keras.Model, tmp_path: Path, answers: Answers
) -> None:
    model = transfer(small_application, sequential)
    path = save(model, tmp_path)
    np.testing.assert_allclose(answers(load_classifier(path)), answers(model), atol=1e-6)


def test_logits_become_probabilities(tmp_path: Path, answers: Answers) -> None:
    model = network(activation=None)
    logits = answers(model)
    got = answers(load_classifier(save(model, tmp_path)))
    expected = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(got, expected / expected.sum(1, keepdims=True), atol=1e-6)


def test_fixed_batch_becomes_free(tmp_path: Path, answers: Answers) -> None:
    model = network(batch=2)
    loaded = load_classifier(save(model, tmp_path))
    assert loaded.input_shape == (None, *SHAPE)
    np.testing.assert_allclose(answers(loaded), answers(model), atol=1e-6)


def test_free_size(tmp_path: Path, answers: Answers) -> None:
    model = network((None, None, 3))
    path = save(model, tmp_path)
    with pytest.raises(UsageError) as caught:
        load_classifier(path)
    assert "takes pictures of any size ((any, any, any, 3)); expected one size" in str(caught.value)
    assert "pass --image-size PIXELS" in str(caught.value)
    loaded = load_classifier(path, (32, 32))
    assert loaded.input_shape == (None, *SHAPE)
    np.testing.assert_allclose(answers(loaded), answers(model), atol=1e-6)


def test_another_size_than_the_only_one(tmp_path: Path) -> None:
    path = save(network((32, 48, 3)), tmp_path)
    assert load_classifier(path, (32, 48)).input_shape == (None, 32, 48, 3)
    with pytest.raises(UsageError, match=r"32x48 pixels .* got --image-size 32; leave the option"):
        load_classifier(path, (32, 32))


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((32, 32, 4), "pictures are RGB or grey"),
        ((3, 32, 32), "it has its channels first"),
        ((16,), "pictures are RGB or grey"),
    ],
)
def test_other_inputs(shape: tuple[int | None, ...], advice: str, tmp_path: Path) -> None:
    image = keras.Input(shape)
    model = keras.Model(image, layers.Dense(2, "softmax")(layers.Flatten()(image)))
    with pytest.raises(ModelError) as caught:
        load_classifier(save(model, tmp_path))
    assert f"input is {shape_words((None, *shape))}; expected (batch, height" in str(caught.value)
    assert advice in str(caught.value)


def test_two_outputs(tmp_path: Path) -> None:
    model = network()
    path = save(keras.Model(model.input, [model.output, model.output]), tmp_path)
    with pytest.raises(ModelError) as caught:
        load_classifier(path)
    message = str(caught.value)
    assert "1 inputs and 2 outputs; expected one picture in and one row" in message
    assert "its outputs are answer (any, 5), answer (any, 5); keep one: " in message
    assert "model.get_layer('answer').output).save('one.keras')" in message


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_classifier(tmp_path / "no.keras")


def test_users_network_is_kept(tmp_path: Path, answers: Answers) -> None:
    model = network()
    loaded = build_model(save(model, tmp_path), SHAPE, 5, weight_decay=1e-3)
    assert loaded.weights == "m.keras"
    assert loaded.notes == ("m.keras is a network of its own (mine); kept as it is",)
    assert len(loaded.model.losses) == 1
    np.testing.assert_array_equal(answers(loaded.model), answers(model))


@pytest.mark.parametrize("sequential", [True, False])
def test_users_nested_network_gets_a_new_head(
    sequential: bool, small_application: keras.Model, tmp_path: Path
) -> None:
    path = save(transfer(small_application, sequential), tmp_path)
    loaded = build_model(path, SHAPE, 3, dropout=0.5, weight_decay=1e-3)
    assert loaded.notes[1] == (
        "the head answer has 5 classes; replaced by a new one of 3, which starts at random"
    )
    assert loaded.model.output_shape == (None, 3)
    assert loaded.model.get_layer("head_dropout").rate == 0.5
    assert len(loaded.model.losses) == 53


def test_users_network_of_free_size_takes_the_size_asked_for(
    tmp_path: Path, answers: Answers
) -> None:
    model = network((None, None, 3))
    loaded = build_model(save(model, tmp_path), SHAPE, 5)
    assert loaded.model.input_shape == (None, *SHAPE)
    np.testing.assert_allclose(answers(loaded.model), answers(model), atol=1e-6)


def test_users_network_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"32x32 .*got --image-size 64; leave the option out"):
        build_model(save(network(), tmp_path), (64, 64, 3), 5)


def test_users_logits_are_noted(tmp_path: Path) -> None:
    loaded = build_model(save(network(activation=None), tmp_path), SHAPE, 5)
    assert loaded.notes[1] == "it answered logits; a softmax was put behind them"


@pytest.mark.parametrize(
    ("shape", "size"), [((32, 48, 3), (32, 48)), ((None, None, 3), None), ((7,), None)]
)
def test_picture_size(
    shape: tuple[int | None, ...], size: tuple[int, int] | None, tmp_path: Path
) -> None:
    image = keras.Input(shape)
    assert picture_size(save(keras.Model(image, layers.Dense(2)(image)), tmp_path)) == size


def test_shape_words() -> None:
    assert shape_words((None, 32, 32, 3)) == "(any, 32, 32, 3)"
