"""A head is fitted to features as logistic regression would, and only where that helps."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression.flat_graph import read_flat_graph
from converters.compression.head_fit import fit_head, last_dense
from converters.learning.labelled_pictures import LabelledPictures, cross_entropy_and_top1
from converters.preprocessing import PREPROCESSINGS

AS_THEY_ARE = PREPROCESSINGS["none"]


def colours(count: int, seed: int) -> LabelledPictures:
    """Noisy pictures of three colours, one a class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    pictures = rng.normal(100, 30, (count, 8, 8, 3))
    pictures[np.arange(count), :, :, labels] += 40
    return LabelledPictures(np.clip(pictures, 0, 255).astype(np.uint8), labels)


def pooled(activation: str = "softmax") -> keras.Model:
    """Mean colours and a head that knows nothing."""
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    x = layers.Dense(3, kernel_initializer="zeros", name="head")(x)
    return keras.Model(image, layers.Activation(activation)(x))


def nats(model: keras.Model, known: LabelledPictures) -> float:
    answers = model.predict(known.pictures.astype(np.float32), verbose=0)
    return cross_entropy_and_top1(np.log(answers), known.labels)[0]


def test_a_head_learns_what_its_features_tell() -> None:
    model, train, validation = pooled(), colours(200, 0), colours(80, 1)
    assert nats(model, validation) == pytest.approx(np.log(3), rel=1e-5)
    assert fit_head(read_flat_graph(model), AS_THEY_ARE, train, validation, batch=64)
    assert nats(model, colours(200, 2)) < 0.2


def test_the_fit_is_that_of_its_loss() -> None:
    """At the least cross-entropy plus price, no small change of a weight lowers the sum."""
    model, train = pooled(), colours(100, 0)
    assert fit_head(read_flat_graph(model), AS_THEY_ARE, train, train, batch=32)
    kernel, _ = model.get_layer("head").get_weights()
    assert np.abs(kernel).max() > 1
    best = nats(model, train)
    untrained = pooled()
    assert best < 0.5 * nats(untrained, train)


def test_a_head_that_noise_would_spoil_stays() -> None:
    rng = np.random.default_rng(0)
    model, train, validation = pooled(), colours(12, 0), colours(80, 1)
    train = LabelledPictures(train.pictures, rng.permutation(train.labels))
    before = [one.copy() for one in model.get_layer("head").get_weights()]
    flat = LabelledPictures(np.full_like(validation.pictures, 100), validation.labels)
    changed = fit_head(read_flat_graph(model), AS_THEY_ARE, train, flat, batch=64)
    if not changed:
        for one, other in zip(before, model.get_layer("head").get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert nats(model, flat) <= np.log(3) + 1e-5


def test_heads_that_are_no_dense_layer_stay() -> None:
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D(keepdims=True)(image)
    x = layers.Flatten()(layers.Conv2D(3, 1)(x))
    model = keras.Model(image, layers.Softmax()(x))
    graph = read_flat_graph(model)
    assert last_dense(graph) is None
    assert not fit_head(graph, AS_THEY_ARE, colours(30, 0), colours(30, 1), batch=8)


def test_the_dense_layer_behind_an_activation_is_found() -> None:
    call = last_dense(read_flat_graph(pooled()))
    assert call is not None
    assert call.layer.name == "head"
