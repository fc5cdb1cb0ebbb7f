"""A network as one list of calls gives Keras' answers."""

import keras
import numpy as np
from keras import layers

from converters.compression.flat_graph import Weights, has_kernel, read_flat_graph


def centred(model: keras.Model, photos: np.ndarray) -> np.ndarray:
    """Keras' own answers as logits minus their mean."""
    answers = np.asarray(model(photos, training=False), np.float64)
    if np.allclose(answers.sum(axis=1), 1, atol=1e-4):
        answers = np.log(answers)
    return answers - answers.mean(axis=1, keepdims=True)


def test_answers_are_those_of_keras(network, photos) -> None:
    graph = read_flat_graph(network)
    found = np.asarray(graph.logits(photos))
    np.testing.assert_allclose(found, centred(network, photos), atol=2e-5)


def test_paths_name_the_models_that_layers_are_nested_in(make) -> None:
    names = [call.name for call in read_flat_graph(make("nested")).calls]
    assert {"stem", "backbone/stem"} < set(names)
    assert "backbone" not in names


def test_a_call_follows_the_one_that_it_alone_reads(make) -> None:
    """Both convolutions of a sum are normalized before the other is computed."""
    names = [call.name for call in read_flat_graph(make("residual")).calls]
    for name in ("block1_0", "block1_3"):
        assert names[names.index(name) + 1] == f"{name}_bn"


def test_a_model_that_is_called_twice_stays_one_call(randomize) -> None:
    image = keras.Input((8, 8, 3))
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(3, 1, name="inside")], name="in"
    )
    model = randomize(keras.Model(image, layers.Flatten()(inner(inner(image)))))
    graph = read_flat_graph(model)
    assert [call.name for call in graph.calls][:2] == ["in", "in"]
    assert not graph.calls[0].is_only
    photos = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(graph.logits(photos)), centred(model, photos), atol=1e-5)


def test_a_layer_that_is_called_as_in_training_is_in_inference_as_others(randomize) -> None:
    image = keras.Input((4, 4, 3))
    norm = layers.BatchNormalization()(image, training=True)
    model = randomize(keras.Model(image, layers.Flatten()(norm)))
    photos = np.random.default_rng(0).normal(size=(4, 4, 4, 3)).astype(np.float32)
    found = np.asarray(read_flat_graph(model).logits(photos))
    np.testing.assert_allclose(found, centred(model, photos), atol=1e-5)


def test_observers_see_sums_before_the_activation(make, photos) -> None:
    graph = read_flat_graph(make("plain"))
    seen = {}
    graph.logits(photos, lambda call, read, value: seen.update({call.name: (read, value)}))
    assert list(seen) == [call.name for call in graph.calls]
    assert float(np.min(seen["one"][1])) < 0  # a ReLU follows
    np.testing.assert_array_equal(seen["smaller"][0][0], np.maximum(seen["one"][1], 0))


def test_weights_in_the_place_of_the_layers_own(make, photos) -> None:
    model = make("residual")
    graph = read_flat_graph(model)
    head = next(call for call in graph.calls if call.name == "head")
    doubled = Weights(2 * head.layer.kernel, 2 * head.layer.bias)
    found = np.asarray(graph.logits(photos, weights={head: doubled}))
    np.testing.assert_allclose(found, 2 * centred(model, photos), atol=5e-5)


def test_grouped_convolutions_have_no_kernel_over_all_channels() -> None:
    image = keras.Input((4, 4, 4))
    model = keras.Model(image, layers.Flatten()(layers.Conv2D(4, 1, groups=2)(image)))
    assert not has_kernel(read_flat_graph(model).calls[0])
