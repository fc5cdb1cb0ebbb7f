"""Heads found, cut off and replaced, in plain and nested networks."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from resnet_edge.errors import ModelError
from resnet_edge.model.head import (
    add_softmax,
    ends_in_logits,
    find_head,
    replace_head,
    strip_head,
)

SHAPE = (32, 32, 3)
Answers = Callable[..., np.ndarray]


def backbone() -> keras.Model:
    image = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(image)
    return keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(x), name="backbone")


def functional_transfer() -> keras.Model:
    image = keras.Input(SHAPE)
    x = backbone()(image / 255.0)
    x = layers.Dropout(0.5)(x)
    return keras.Model(image, layers.Dense(5, activation="softmax", name="answer")(x))


def sequential_transfer() -> keras.Model:
    head = layers.Dense(5, activation="softmax", name="answer")
    return keras.Sequential(
        [keras.Input(SHAPE), layers.Rescaling(1 / 255), backbone(), layers.Dropout(0.5), head]
    )


def separate_activation() -> keras.Model:
    return keras.Sequential(
        [keras.Input(SHAPE), backbone(), layers.Dense(5, name="answer"), layers.Softmax()]
    )


def wrapped() -> keras.Model:
    """The whole classifier is one nested model."""
    image = keras.Input(SHAPE)
    return keras.Model(image, functional_transfer()(layers.Rescaling(2.0)(image)))


NETWORKS = [functional_transfer, sequential_transfer, separate_activation, wrapped]


@pytest.mark.parametrize("build", NETWORKS)
def test_features_times_head_are_the_answers(
    build: Callable[[], keras.Model], answers: Answers
) -> None:
    model = build()
    head = find_head(model)
    kernel, bias = head.get_weights()
    logits = answers(strip_head(model)) @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert (head.name, head.units) == ("answer", 5)
    np.testing.assert_allclose(answers(model), expected, atol=1e-5)


@pytest.mark.parametrize("build", NETWORKS)
def test_new_head_stands_on_the_same_features(
    build: Callable[[], keras.Model], answers: Answers
) -> None:
    model = build()
    new = replace_head(model, 3, dropout=0.25)
    assert (find_head(new).name, new.output_shape) == ("fc3", (None, 3))
    assert new.get_layer("head_dropout").rate == 0.25
    assert new.layers[-1].activation is keras.activations.softmax
    np.testing.assert_array_equal(answers(strip_head(new)), answers(strip_head(model)))
    again = replace_head(new, 3, dropout=0.5)
    assert [x.rate for x in again.layers if isinstance(x, layers.Dropout)] == [0.5]


def test_resnet50_head(small_resnet: keras.Model) -> None:
    assert find_head(small_resnet).name == "fc5"
    assert strip_head(small_resnet).output_shape == (None, 128)
    assert strip_head(small_resnet).layers[-1].name == "avg_pool"


def test_convolutional_head_is_refused() -> None:
    image = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D(name="gap")(layers.Conv2D(5, 1)(image))
    model = keras.Model(image, layers.Softmax()(x), name="squeeze")
    with pytest.raises(ModelError) as caught:
        find_head(model)
    assert str(caught.value) == (
        "squeeze: the last layer is gap (GlobalAveragePooling2D); expected a classifier that ends "
        "in a Dense layer; its head can be neither trained nor replaced"
    )


def test_network_without_layers_is_refused() -> None:
    image = keras.Input((4,))
    with pytest.raises(ModelError, match=r"\(InputLayer\); expected a classifier"):
        find_head(keras.Model(image, layers.Softmax()(image)))


def test_name_of_the_new_head_that_is_taken() -> None:
    image = keras.Input((4,))
    x = layers.Dense(3, name="fc3")(image)
    model = keras.Model(image, layers.Dense(5)(x), name="mine")
    with pytest.raises(ModelError, match=r"mine: a new head cannot be put on .*rename the layer"):
        replace_head(model, 3)


@pytest.mark.parametrize("build", NETWORKS)
def test_probabilities_are_no_logits(build: Callable[[], keras.Model]) -> None:
    assert not ends_in_logits(build())


@pytest.mark.parametrize("tail", [[], [layers.Activation("linear", dtype="float32")]])
def test_logits_get_a_softmax(tail: list[layers.Layer], answers: Answers) -> None:
    model = keras.Sequential([keras.Input(SHAPE), backbone(), layers.Dense(5), *tail])
    image = keras.Input(SHAPE)
    for network in (model, keras.Model(image, model(image))):
        assert ends_in_logits(network)
        probabilities = add_softmax(network)
        assert not ends_in_logits(probabilities)
        np.testing.assert_allclose(answers(probabilities).sum(1), 1, atol=1e-6)


def test_what_is_not_dense_is_taken_for_probabilities() -> None:
    image = keras.Input((4,))
    assert not ends_in_logits(keras.Model(image, layers.Dropout(0.1)(image)))
