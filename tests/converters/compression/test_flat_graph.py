"""A network as one list of calls gives Keras' answers."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression.flat_graph import has_kernel, read_flat_graph
from converters.errors import ModelConversionError


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


def test_shapes_are_those_of_a_picture(make) -> None:
    graph = read_flat_graph(make("any_size"))
    shapes = {call.name: graph.shapes[call.outputs[0]] for call in graph.calls}
    assert shapes["backbone/one"] == (8, 8, 8)
    assert shapes["pool"] == (12,)
    assert graph.shapes[graph.image] == (16, 16, 3)


def test_one_encoder_in_two_nested_models(randomize) -> None:
    """Both graphs hold the same tensors, and read different pictures."""
    inner = keras.Input((8, 8, 3))
    first = layers.Conv2D(3, 1, name="first")(inner)
    one = keras.Model(inner, layers.Conv2D(3, 1, name="second")(first), name="one")
    other = keras.Model(inner, first, name="other")
    image = keras.Input((8, 8, 3))
    both = layers.Concatenate()([one(image), other(layers.Rescaling(5.0)(image))])
    model = randomize(keras.Model(image, layers.Flatten()(both)))
    graph = read_flat_graph(model)
    photos = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(graph.logits(photos)), centred(model, photos), atol=1e-5)
    assert not any(call.is_only for call in graph.calls if call.path[-1] == "first")


def test_mixed_precision(randomize, photos) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        image = keras.Input((16, 16, 3))
        x = layers.Conv2D(4, 3, activation="relu")(image)
        x = layers.BatchNormalization()(layers.Conv2D(4, 3)(x))
        x = layers.Dense(3, dtype="float32")(layers.GlobalAveragePooling2D()(x))
        model = randomize(keras.Model(image, x))
    finally:
        keras.config.set_dtype_policy(policy)
    found = np.asarray(read_flat_graph(model).logits(photos))
    np.testing.assert_allclose(found, centred(model, photos), atol=0.02)


def picture(size: tuple[int | None, ...] = (8, 8, 3)) -> keras.KerasTensor:
    return keras.Input(size)


def test_several_answers_or_inputs_are_refused() -> None:
    image = picture()
    x = layers.GlobalAveragePooling2D()(image)
    two = keras.Model(image, [layers.Dense(2)(x), layers.Dense(3)(x)], name="two")
    with pytest.raises(ModelConversionError, match="two has 1 inputs and 2 outputs"):
        read_flat_graph(two)
    others = [picture(), picture()]
    both = keras.Model(others, layers.Flatten()(layers.Add()(others)), name="both")
    with pytest.raises(ModelConversionError, match="both has 2 inputs and 1 outputs"):
        read_flat_graph(both)


def test_a_model_without_a_size_is_refused() -> None:
    image = picture((None, None, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(image), name="any")
    with pytest.raises(ModelConversionError, match=r"any takes pictures of .*; expected a fixed"):
        read_flat_graph(model)


def test_a_subclassed_model_is_refused() -> None:
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ModelConversionError, match="is a subclassed model, which shows no graph"):
        read_flat_graph(Own(name="own"))


def test_grouped_convolutions_have_no_kernel_over_all_channels() -> None:
    image = keras.Input((4, 4, 4))
    model = keras.Model(image, layers.Flatten()(layers.Conv2D(4, 1, groups=2)(image)))
    assert not has_kernel(read_flat_graph(model).calls[0])
