"""A slimmed network is the network with zeros for the channels that are gone."""

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from converters.compression.flat_graph import FlatGraph, has_kernel, read_flat_graph
from converters.compression.slimming import slim
from converters.compression.tied_channels import TiedChannels, find_tied_channels


def masked(graph: FlatGraph, channels: TiedChannels, gone: list[int]) -> FlatGraph:
    """The network with zeros in the rows of kernels that read channels that are gone."""
    copy = slim(graph, channels, [])
    for old, new in copy.pairs:
        if has_kernel(old):
            kernel = new.layer.kernel.numpy()
            kernel[..., np.isin(channels.of[old.inputs[0]], gone), :] = 0
            new.layer.kernel.assign(kernel)
    return copy.after


def some(channels: TiedChannels, seed: int) -> list[int]:
    """Some channels of every group that may go, never all of one."""
    rng = np.random.default_rng(seed)
    gone: list[int] = []
    for group in channels.groups:
        if not group.fixed:
            count = rng.integers(0, len(group.channels))
            gone += rng.permutation(group.channels)[:count].tolist()
    return gone


def check(model: keras.Model, photos: np.ndarray, seed: int) -> keras.Model:
    graph = read_flat_graph(model)
    channels = find_tied_channels(graph)
    gone = some(channels, seed)
    expected = np.asarray(masked(graph, channels, gone).logits(photos))
    slimmed = slim(graph, channels, gone)
    found = np.asarray(read_flat_graph(slimmed.model).logits(photos))
    largest = np.abs(np.asarray(model(photos, training=False))).max()  # before it is centred
    assert np.abs(found - expected).max() <= 1e-5 * max(np.ptp(expected), largest)
    return slimmed.model


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_slimmed_and_masked_networks_are_equal(network, photos, seed: int) -> None:
    slimmed = check(network, photos[:4], seed)
    assert slimmed.count_params() < network.count_params()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_networks_of_any_shape(data) -> None:
    """Random chains of operators, some with a second branch that is added or concatenated."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    for kind in data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6)):
        x = KINDS[kind](x)
    ends = {"pool": layers.GlobalAveragePooling2D(), "flat": layers.Flatten()}
    x = ends[data.draw(st.sampled_from(sorted(ends)))](x)
    model = keras.Model(image, layers.Dense(3)(x))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    model.set_weights([rng.uniform(0.1, 0.6, w.shape) for w in model.get_weights()])
    check(model, rng.normal(size=(2, 8, 8, 3)).astype(np.float32), data.draw(st.integers(0, 9)))


KINDS = {
    "wide": lambda x: layers.Conv2D(6, 3, padding="same", activation="relu")(x),
    "point": lambda x: layers.Conv2D(5, 1, use_bias=False)(x),
    "norm": lambda x: layers.BatchNormalization()(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    "swish": lambda x: keras.ops.silu(x),
    "soft": lambda x: layers.Conv2D(4, 1, activation="softmax")(x),
    "gelu": lambda x: layers.Conv2D(4, 1, activation="gelu")(x),
    "turned": lambda x: layers.BatchNormalization(axis=1)(x),
    "twice": lambda x: layers.DepthwiseConv2D(1, depth_multiplier=2)(x),
    "scaled": lambda x: x * np.linspace(0.5, 1.5, x.shape[-1]),
    "pool": lambda x: layers.MaxPooling2D(2, padding="same")(x),
    "sum": lambda x: layers.Add()([x, layers.Conv2D(x.shape[-1], 1)(x)]),
    "join": lambda x: layers.Concatenate()([x, layers.Conv2D(3, 1)(x)]),
    "both": lambda x: layers.Multiply()([x, layers.Conv2D(1, 1, activation="sigmoid")(x)]),
    "grouped": lambda x: layers.Conv2D(x.shape[-1], 3, padding="same", groups=x.shape[-1])(x),
}


def test_layers_keep_their_names(network) -> None:
    graph = read_flat_graph(network)
    channels = find_tied_channels(graph)
    slimmed = slim(graph, channels, some(channels, 0)).model
    assert [layer.name for layer in slimmed._flatten_layers()] == [
        layer.name for layer in network._flatten_layers()
    ]


def test_no_weights_are_shared_with_the_model_before(network, answers, photos) -> None:
    expected = answers(network, photos[:4])
    graph = read_flat_graph(network)
    channels = find_tied_channels(graph)
    slimmed = slim(graph, channels, some(channels, 3)).model
    slimmed.set_weights([np.zeros(w.shape) for w in slimmed.get_weights()])
    np.testing.assert_array_equal(answers(network, photos[:4]), expected)


def test_a_slimmed_model_is_an_ordinary_file(network, answers, photos, tmp_path: Path) -> None:
    graph = read_flat_graph(network)
    channels = find_tied_channels(graph)
    slimmed = slim(graph, channels, some(channels, 1)).model
    slimmed.save(tmp_path / "slim.keras")
    loaded = keras.models.load_model(tmp_path / "slim.keras")
    np.testing.assert_array_equal(answers(loaded, photos[:4]), answers(slimmed, photos[:4]))


def test_twice_slimmed(network, photos) -> None:
    check(check(network, photos[:4], 1), photos[:4], 2)


def test_a_group_cannot_lose_all_its_channels(make) -> None:
    graph = read_flat_graph(make("residual"))
    channels = find_tied_channels(graph)
    stem = next(group for group in channels.groups if group.name == "stem")
    with pytest.raises(ValueError, match="no channel of stem would be left"):
        slim(graph, channels, stem.channels)
