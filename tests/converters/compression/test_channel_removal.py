"""The order of removal, against least squares by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression import channel_removal, patches
from converters.compression.channel_removal import (
    RIDGE,
    Curvature,
    read_orders,
    removal_order,
)
from converters.compression.compression import measure
from converters.compression.flat_graph import read_flat_graph
from converters.compression.layer_statistics import measure_layers
from converters.compression.tied_channels import find_tied_channels
from converters.preprocessing import PREPROCESSINGS

COUNT = 6


def two_layers(first: np.ndarray, second: np.ndarray) -> keras.Model:
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(first.shape[-1], 1, activation="relu", name="first")(image)
    x = layers.Conv2D(second.shape[-1], 3, name="second")(x)
    x = layers.Flatten()(x)
    model = keras.Model(image, layers.Dense(3, name="head")(x))
    rng = np.random.default_rng(4)
    shapes = [w.shape for w in model.get_weights()]
    values = [first, np.zeros(first.shape[-1]), second, np.zeros(second.shape[-1])]
    model.set_weights([*values, rng.normal(size=shapes[4]), np.zeros(3)])
    return model


def order_of(model: keras.Model, name: str):
    graph = read_flat_graph(model)
    channels = find_tied_channels(graph)
    photos = np.random.default_rng(1).normal(size=(40, 4, 4, 3)).astype(np.float32)
    statistics = measure_layers(graph, photos, 10, lambda *_: None)
    group = next(group for group in channels.groups if group.name == name)
    found = removal_order(group, channels, curvatures(statistics))
    places = [group.channels.index(channel) for channel in found.channels]
    return places, found, statistics, graph


def curvatures(statistics):
    return {call: Curvature.of(own) for call, own in statistics.items()}


def random_kernels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, 1, 3, COUNT)), rng.normal(size=(3, 3, COUNT, 4))


def test_what_another_channel_gives_as_well_goes_first(monkeypatch) -> None:
    monkeypatch.setattr(channel_removal, "RIDGE", 1e-6)
    first, second = random_kernels()
    first[..., 4] = 2 * first[..., 1]
    places, order, *_ = order_of(two_layers(first, second), "first")
    assert places[0] in (1, 4)
    assert {1, 4} != set(places[:2])  # one of them has to stay
    assert order.errors[1] < 0.001 * order.errors[2]


def test_what_nothing_reads_goes_first_for_nothing() -> None:
    first, second = random_kernels()
    second[:, :, 2] = 0
    places, order, *_ = order_of(two_layers(first, second), "first")
    assert places[0] == 2
    assert order.errors[1] == pytest.approx(0, abs=1e-6 * order.errors[-1])


def test_costs_are_those_of_least_squares() -> None:
    """The first channel's cost is the smallest residual of all channels, found by solving."""
    places, order, statistics, graph = order_of(two_layers(*random_kernels()), "first")
    call = next(call for call in graph.calls if call.name == "second")
    found = statistics[call]
    gram = found.gram.astype(np.float64)
    gram += np.diag(RIDGE * np.diagonal(gram))
    kernel = np.asarray(call.layer.kernel, np.float64).reshape(-1, 4)
    kernel = np.append(kernel, np.zeros((1, 4)), axis=0) * np.sqrt(found.slopes)
    costs = []
    for channel in range(COUNT):
        rows = np.arange(9) * COUNT + channel
        left = np.setdiff1d(np.arange(len(gram)), rows)
        # min over d of tr(d' G d) where d cancels the rows that go
        change = np.linalg.solve(gram[np.ix_(left, left)], gram[np.ix_(left, rows)] @ kernel[rows])
        whole = np.zeros_like(kernel)
        whole[rows], whole[left] = -kernel[rows], change
        costs.append(np.einsum("io,ij,jo->", whole, gram, whole))
    assert places[0] == int(np.argmin(costs))
    assert order.errors[1] == pytest.approx(min(costs), rel=1e-3)


def test_channels_that_go_together_cost_what_they_cost_together(monkeypatch) -> None:
    """Two copies of one channel: either is replaced by the other, but not both."""
    monkeypatch.setattr(channel_removal, "RIDGE", 1e-6)
    monkeypatch.setattr(channel_removal, "STEPS", 3)  # two at once
    first, second = random_kernels()
    first[..., 4] = first[..., 1]
    places, order, *_ = order_of(two_layers(first, second), "first")
    assert {1, 4} == set(places[:2])
    monkeypatch.setattr(channel_removal, "STEPS", COUNT)
    _, alone, *_ = order_of(two_layers(first, second), "first")
    assert order.errors[2] >= alone.errors[2] > 100 * alone.errors[1]


def test_errors_only_rise(network, photos) -> None:
    graph = read_flat_graph(network)
    channels = find_tied_channels(graph)
    statistics = measure_layers(graph, photos, 16, lambda *_: None)
    for group in channels.groups:
        if not group.fixed:
            found = removal_order(group, channels, curvatures(statistics))
            assert sorted(found.channels) == sorted(group.channels)
            assert len(found.errors) == len(group.channels)
            assert found.errors[0] == 0
            assert (np.diff(found.errors) >= -1e-5 * found.errors[-1]).all()


def test_layers_with_many_rows_order_by_energy(monkeypatch) -> None:
    monkeypatch.setattr(patches, "MOST_ROWS", 20)
    first, second = random_kernels()
    second[:, :, 3] *= 1e-3
    places, order, *_ = order_of(two_layers(first, second), "first")
    assert places[0] == 3
    assert order.errors[1] < 1e-3 * order.errors[-1]


def test_orders_are_kept_and_read_again(make, photos, tmp_path) -> None:
    kept = tmp_path / "orders.npz"
    none = PREPROCESSINGS["none"]
    seen: list[str] = []
    first = measure(make("residual"), none, photos, lambda words, *_: seen.append(words), kept)
    assert "measuring layers" in seen
    seen.clear()
    again = measure(make("residual"), none, photos, lambda words, *_: seen.append(words), kept)
    assert seen == []
    assert again.widths(0.5) == first.widths(0.5)


@pytest.mark.parametrize("spoil", [b"", b"not an archive", None])
def test_orders_that_are_damaged_or_of_another_model_are_made_anew(
    make, photos, tmp_path, spoil
) -> None:
    kept = tmp_path / "orders.npz"
    none = PREPROCESSINGS["none"]
    if spoil is None:
        measure(make("mobile"), none, photos, lambda *_: None, kept)
    else:
        kept.write_bytes(spoil)
    seen: list[str] = []
    found = measure(make("residual"), none, photos, lambda words, *_: seen.append(words), kept)
    assert "measuring layers" in seen
    assert found.widths(0.5).share <= 0.5
    groups = [order.group for order in found.orders]
    assert read_orders(kept, groups) is not None
