"""Latencies that follow the model are found again; others are foretold roughly."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression.flat_graph import FlatGraph, read_flat_graph
from converters.compression.input_size import at_input_size
from converters.compression.latency_model import (
    TYPICAL,
    LatencyModel,
    Work,
    fit_latency,
    work_of,
)
from converters.compression.slimming import slim
from converters.compression.tied_channels import find_tied_channels
from converters.multiply_adds import count_multiply_adds


def family(model: keras.Model, count: int = 12) -> list[FlatGraph]:
    """The model at random widths and three sizes."""
    rng = np.random.default_rng(0)
    graph = read_flat_graph(model)
    channels = find_tied_channels(graph)
    found = []
    for number in range(count):
        gone = [
            channel
            for group in channels.groups
            if not group.fixed
            for channel in group.channels[: rng.integers(0, len(group.channels))]
        ]
        size = (16, 24, 32)[number % 3]
        found.append(read_flat_graph(at_input_size(slim(graph, channels, gone).model, size, size)))
    return found


def works(graphs: list[FlatGraph]) -> np.ndarray:
    """What each of them does."""
    return np.array([work_of(graph) for graph in graphs]).reshape(-1, len(Work))


def test_work_is_the_multiply_adds_and_what_is_written() -> None:
    image = keras.Input((8, 6, 3))
    x = layers.Conv2D(4, 3)(image)  # 6 x 4 positions
    x = layers.DepthwiseConv2D(3)(x)  # 4 x 2 positions
    x = layers.Conv2D(5, 1)(x)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    found = work_of(read_flat_graph(model))
    assert found[Work.SPATIAL] == 24 * 9 * 3 * 4
    assert found[Work.DEPTHWISE] == 8 * 9 * 4
    assert found[Work.POINTWISE] == 8 * 4 * 5
    assert found[Work.DENSE] == 5 * 2
    assert found[Work.WRITTEN] == 24 * 4 + 8 * 4 + 8 * 5 + 2
    assert found[Work.CALLS] == 4
    assert found[:4].sum() == count_multiply_adds(model)


@pytest.mark.parametrize("seed", range(8))
def test_a_model_of_latency_is_found_again(make, seed: int) -> None:
    graphs = family(make("mobile"))
    factors = np.random.default_rng(seed).uniform(0.1, 10, len(Work))
    units = np.array([1e-9, 2e-9, 5e-9, 1e-9, 1e-8, 1e-5]) * factors
    times = [float(work_of(graph) @ units) for graph in graphs]
    found = fit_latency(works(graphs), times)
    for graph, expected in zip(graphs, times, strict=True):
        assert found.predict(work_of(graph)) == pytest.approx(expected, rel=0.03)


def test_no_work_gives_time_back(make) -> None:
    """Where more multiply-adds seem to take less, the coefficient is 0 and not negative."""
    graphs = family(make("residual"), 6)
    times = [1 / work_of(graph)[:4].sum() for graph in graphs]
    found = fit_latency(works(graphs), times)
    assert (found.seconds >= 0).all()
    assert found.worst > 0.05


def test_noise_is_told(make) -> None:
    graphs = family(make("residual"), 9)
    noise = np.random.default_rng(0).uniform(0.95, 1.05, len(graphs))
    units = np.array([1e-9, 2e-9, 0, 1e-9, 1e-8, 1e-5])
    times = [float(work_of(g) @ units * n) for g, n in zip(graphs, noise, strict=True)]
    found = fit_latency(works(graphs), times)
    assert 0.01 < found.worst < 0.25


def test_costs_of_calls_sum_up(make) -> None:
    graph = read_flat_graph(make("mobile"))
    model = LatencyModel(np.array([1e-9, 2e-9, 5e-9, 1e-9, 1e-8, 1e-5]), 0.0)
    cost = model.cost(graph)
    total = sum(
        cost(call, graph.shapes[call.inputs[0]][-1], graph.shapes[call.outputs[0]][-1])
        for call in graph.calls
    )
    assert total == pytest.approx(model.predict(work_of(graph)))


def test_another_machine_is_a_factor(make) -> None:
    work = work_of(read_flat_graph(make("residual")))
    model = LatencyModel(np.full(len(Work), 1e-9), 0.1)
    assert model.scaled(3.0).predict(work) == pytest.approx(3 * model.predict(work))
    assert model.scaled(3.0).worst == 0.1


def test_one_network_makes_a_typical_processor(make) -> None:
    """Nothing tells kinds of work apart, so their ratios are the typical ones."""
    graph = read_flat_graph(make("mobile"))
    found = fit_latency(works([graph]), [0.25])
    assert found.predict(work_of(graph)) == pytest.approx(0.25, rel=1e-3)
    assert found.seconds / found.seconds[0] == pytest.approx(TYPICAL, rel=0.2)
    assert np.isnan(found.worst)


def test_few_networks_foretell_others(make) -> None:
    """A processor that differs from the typical one by up to a factor of two in every kind."""
    graphs = family(make("residual"), 12)
    units = 1e-9 * TYPICAL * np.array([1.0, 2.0, 1.0, 0.5, 2.0, 0.5])
    times = [float(work_of(graph) @ units) for graph in graphs]
    found = fit_latency(works(graphs[:3]), times[:3])
    for graph, expected in zip(graphs, times, strict=True):
        assert found.predict(work_of(graph)) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(
    ("count", "times"), [(0, []), (2, [1.0]), (2, [1.0, 0.0]), (2, [1.0, float("nan")])]
)
def test_latencies_that_cannot_be_fitted(make, count: int, times: list[float]) -> None:
    graphs = [read_flat_graph(make("plain"))] * count
    with pytest.raises(ValueError, match="latencies"):
        fit_latency(works(graphs), times)
