"""Groups of tensors that are scaled alike, and that the float function stays what it was."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from converters.quantization.activation_extremes import (
    Extremes,
    Statistics,
    measure_activations,
)
from converters.quantization.equalization import (
    FREE_STRENGTH,
    SMALLEST_RATIO,
    Equalized,
    equalize,
    find_channels,
    strength_scales,
)
from converters.quantization.tensorflow_execution import Weights, batches, constant_weights, run
from converters.quantization.tflite_network import Parameters, TfliteNetwork


def layers_of(network: TfliteNetwork) -> list[tuple[set[str], set[str], set[str]]]:
    """Layers of the tensors, of the writers and of the readers of every group."""
    return [
        (
            {network.writers[tensor].layer for tensor in group.tensors},
            {network.operations[index].layer for index in group.writers},
            {network.operations[index].layer for index in group.readers},
        )
        for group in find_channels(network).groups
    ]


def logits_of(network: TfliteNetwork, parameters: dict[int, Parameters], pictures: np.ndarray):
    weights = {index: Weights(p.kernel, p.bias) for index, p in parameters.items()}
    found = [run(network, weights, batch).numpy() for batch in batches(network, pictures)]
    return np.concatenate(found)


@pytest.fixture(scope="module")
def statistics(networks) -> dict[str, Statistics]:
    return {
        name: measure_activations(made.network, constant_weights(made.network), made.pictures)[0]
        for name, made in networks.items()
    }


def test_a_stage_s_residual_stream_is_one_group(residual) -> None:
    groups = layers_of(residual.network)
    (stream,) = [group for group in groups if "shortcut" in group[1]]
    tensors, writers, readers = stream
    assert writers == {"shortcut", "a_expand", "b_expand"}
    assert readers == {"b_reduce", "head"}
    assert "pool" in tensors
    # The stem is read by the first block's two convolutions; each block has a narrow part.
    others = [(writers, readers) for _, writers, readers in groups if (writers, readers) != stream]
    for expected in (
        ({"stem"}, {"a_reduce", "shortcut"}),
        ({"a_reduce"}, {"a_expand"}),
        ({"b_reduce"}, {"b_expand"}),
    ):
        assert expected in others
    assert len(groups) == 4


def test_every_tensor_is_in_one_group_at_most(each) -> None:
    tensors = [tensor for group in find_channels(each.network).groups for tensor in group.tensors]
    assert len(tensors) == len(set(tensors))


def test_relu6_passes_a_scale_on(networks) -> None:
    groups = [(writers, readers) for _, writers, readers in layers_of(networks["mobile"].network)]
    assert ({"expand"}, {"depthwise"}) in groups
    assert ({"depthwise"}, {"project"}) in groups
    assert ({"stem", "project"}, {"expand", "head"}) in groups
    assert len(groups) == 3


def test_a_scale_never_moves_a_value_into_relu6s_bound(networks) -> None:
    """A channel that reaches 6 keeps its scale; one that uses a part is scaled by that at most."""
    made = networks["mobile"]
    (found,) = measure_activations(made.network, constant_weights(made.network), made.pictures)
    result = by_strength(made.network, found, 1.0)
    for operation in made.network.operations:
        if operation.activation == "RELU6":
            assert result.statistics[operation.output].high.max() <= 6.0001
    check_exact(made, 1.0)


def test_sigmoids_and_hard_swish_end_a_group(networks) -> None:
    """Groups are left only in squeeze and excitation."""
    ((_, writers, readers),) = layers_of(networks["attention"].network)
    assert (writers, readers) == ({"squeeze"}, {"excite"})


def test_a_gate_passes_the_scale_of_what_it_multiplies(small) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(6, 3, activation="relu", name="one")(x)
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(6, 1, activation="sigmoid", name="gate")(gate)
        y = layers.Conv2D(4, 1, activation="relu", name="two")(layers.Multiply()([y, gate]))
        return layers.Dense(2, activation="softmax", name="head")(layers.Flatten()(y))

    made = small(build, (12, 12, 3))
    groups = [(w, r) for _, w, r in layers_of(made.network)]
    assert groups == [({"one"}, {"gate", "two"}), ({"two"}, {"head"})]
    check_exact(made, 1.0)


def test_concatenations_pass_the_scales_of_their_parts(networks) -> None:
    groups = [(w, r) for _, w, r in layers_of(networks["branching"].network)]
    # The average of the stem is a part of the concatenation.
    assert ({"stem", "one", "two"}, {"one", "two", "last"}) in groups
    assert ({"last"}, {"head"}) in groups
    check_exact(networks["branching"], 1.0)


def test_a_group_that_depthwise_kernels_read_is_scaled_further(small) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(2, 1, activation="relu", name="one")(x)
        y = layers.DepthwiseConv2D(1, name="depthwise")(y)
        return layers.Dense(2, activation="softmax", name="head")(layers.Flatten()(y))

    network = small(build, (4, 4, 3)).network
    found = {
        op.output: Extremes(np.zeros(network.shapes[op.output][-1]), np.array([4.0, 1.0]))
        for op in network.weighted[:2]
    }
    result = by_strength(network, found, 0.5)
    one = result.statistics[network.weighted[0].output].high
    np.testing.assert_allclose(one, [4, 4**FREE_STRENGTH])


def test_neither_image_nor_answer_nor_logits_are_scaled(each) -> None:
    network = each.network
    tensors = {tensor for group in find_channels(network).groups for tensor in group.tensors}
    assert not tensors & {network.image, network.answer, network.logits}


def test_depthwise_convolutions_pass_a_scale_on_and_groups_do_not(small) -> None:
    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(6, 3, activation="relu", name="one")(x)
        y = layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(y)
        y = layers.Conv2D(6, 3, groups=2, activation="relu", name="grouped")(y)
        y = layers.Conv2D(6, 1, activation="relu", name="two")(y)
        return layers.Dense(2, activation="softmax", name="head")(layers.Flatten()(y))

    made = small(build, (12, 12, 3))
    groups = [(w, r) for _, w, r in layers_of(made.network)]
    assert groups == [({"one"}, {"depthwise"}), ({"grouped"}, {"two"}), ({"two"}, {"head"})]
    check_exact(made, 1.0)


def by_strength(network: TfliteNetwork, found: Statistics, strength: float) -> Equalized:
    return equalize(network, found, strength_scales(find_channels(network), found, strength))


def check_exact(made, strength: float) -> None:
    network, pictures = made.network, made.pictures[::4]
    (found,) = measure_activations(network, constant_weights(network), pictures)
    result = by_strength(network, found, strength)
    before = logits_of(network, dict(network.parameters), pictures)
    after = logits_of(network, dict(result.parameters), pictures)
    assert np.abs(after - before).max() <= 1e-5 * np.abs(before).max()


@given(strength=st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_the_function_stays_whatever_the_strength(networks, strength: float) -> None:
    check_exact(networks["residual"], strength)


def test_the_function_stays_for_every_network(each) -> None:
    check_exact(each, 0.5)


def test_a_strength_of_zero_changes_nothing(residual, statistics) -> None:
    result = by_strength(residual.network, statistics["residual"], 0.0)
    for index, p in residual.network.parameters.items():
        np.testing.assert_array_equal(result.parameters[index].kernel, p.kernel)
        np.testing.assert_array_equal(result.parameters[index].bias, p.bias)


def test_extremes_are_those_of_the_new_weights(residual, statistics) -> None:
    network = residual.network
    result = by_strength(network, statistics["residual"], 0.75)
    weights = {index: Weights(p.kernel, p.bias) for index, p in result.parameters.items()}
    (again,) = measure_activations(network, weights, residual.pictures)
    for tensor, extremes in result.statistics.items():
        scale = np.abs(again[tensor].high).max() + np.abs(again[tensor].low).max()
        np.testing.assert_allclose(extremes.low, again[tensor].low, atol=1e-5 * scale)
        np.testing.assert_allclose(extremes.high, again[tensor].high, atol=1e-5 * scale)


def test_full_strength_fills_every_channel(residual, statistics) -> None:
    """Each live channel of a group of one tensor reaches the end of the range."""
    network = residual.network
    result = by_strength(network, statistics["residual"], 1.0)
    (group,) = [
        group
        for group in find_channels(network).groups
        if {network.operations[index].layer for index in group.writers} == {"a_reduce"}
    ]
    (tensor,) = group.tensors
    highs = result.statistics[tensor].high
    live = statistics["residual"][tensor].high > 0
    np.testing.assert_allclose(highs[live], highs.max(), rtol=1e-6)


def test_by_hand(small) -> None:
    """Two channels that reach 4 and 1: the second is multiplied by 4, its reader divided."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        y = layers.Conv2D(2, 1, activation="relu", name="one")(x)
        return layers.Dense(2, activation="softmax", name="head")(
            layers.Flatten()(layers.Conv2D(2, 1, activation="relu", name="two")(y))
        )

    network = small(build, (1, 1, 3)).network
    one, two = network.weighted[:2]
    found = {
        op.output: Extremes(np.zeros(network.shapes[op.output][-1]), np.array([4.0, 1.0]))
        for op in (one, two)
    }
    result = by_strength(network, found, 1.0)
    before, after = network.parameters, result.parameters
    np.testing.assert_allclose(
        after[one.index].kernel, before[one.index].kernel * [1, 4], rtol=1e-6
    )
    np.testing.assert_allclose(after[one.index].bias, before[one.index].bias * [1, 4], rtol=1e-6)
    inputs = np.array([1, 0.25]).reshape(1, 1, 2, 1)
    outputs = after[two.index].kernel / (before[two.index].kernel * inputs)
    np.testing.assert_allclose(outputs, np.broadcast_to(outputs[0, 0, 0], outputs.shape), rtol=1e-5)
    np.testing.assert_array_equal(result.statistics[one.output].high, [4, 4])
    half = by_strength(network, found, 0.5)
    np.testing.assert_allclose(half.statistics[one.output].high, [4, 2])


def test_dead_channels_keep_their_scale(residual, statistics) -> None:
    network = residual.network
    index = residual.operation("a_reduce")
    p = network.parameters[index]
    kernel, bias = p.kernel.copy(), p.bias.copy()
    kernel[..., 1], bias[1] = 0, 0
    kernel[..., 2], bias[2] = kernel[..., 2] * 1e-9, 0
    dead = replace(network)
    dead.__dict__["parameters"] = {**network.parameters, index: Parameters(kernel, bias)}
    (found,) = measure_activations(
        dead,
        {i: Weights(p.kernel, p.bias) for i, p in dead.parameters.items()},
        residual.pictures,
    )
    result = by_strength(dead, found, 1.0)
    for parameters in result.parameters.values():
        assert np.isfinite(parameters.kernel).all()
        assert np.isfinite(parameters.bias).all()
    after = result.parameters[index]
    assert not after.kernel[..., 1].any()
    # As good as dead: scaled by the largest factor there is, not by a billion.
    live = np.abs(kernel[..., 2]) > 0
    ratio = after.kernel[..., 2][live] / kernel[..., 2][live]
    assert ratio.max() <= 1.0001 / SMALLEST_RATIO
    before, answers = (
        logits_of(dead, dict(parameters), residual.pictures[:5])
        for parameters in (dead.parameters, result.parameters)
    )
    assert np.abs(answers - before).max() <= 1e-5 * np.abs(before).max()


def test_a_network_of_zeros(residual) -> None:
    network = residual.network
    zeros = {
        tensor: Extremes(np.zeros(shape[-1]), np.zeros(shape[-1]))
        for tensor, shape in enumerate(network.shapes)
        if tensor in network.writers
    }
    result = by_strength(network, zeros, 1.0)
    for index, p in network.parameters.items():
        np.testing.assert_array_equal(result.parameters[index].kernel, p.kernel)
