"""Extremes by channel, by hand, and what a ReLU discards of a sum."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from converters.errors import ModelConversionError
from converters.quantization.activation_extremes import (
    Extremes,
    Statistics,
    discarding_sums,
    measure_activations,
    merge_statistics,
)
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import Weights, batches, constant_weights, run


def measured(made, pictures: np.ndarray | None = None) -> Statistics:
    pictures = made.pictures if pictures is None else pictures
    return measure_activations(made.network, constant_weights(made.network), pictures)[0]


def assert_same(one: Statistics, other: Statistics) -> None:
    assert one.keys() == other.keys()
    for tensor in one:
        np.testing.assert_allclose(one[tensor].low, other[tensor].low, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(one[tensor].high, other[tensor].high, rtol=1e-5, atol=1e-5)


def test_extremes() -> None:
    one = Extremes(np.array([-1.0, 2.0]), np.array([0.0, 3.0]))
    other = Extremes(np.array([-2.0, 2.5]), np.array([-1.0, 4.0]))
    both = one.merge(other)
    np.testing.assert_array_equal(both.low, [-2, 2])
    np.testing.assert_array_equal(both.high, [0, 4])
    scaled = both.scaled(np.array([0.5, 2]))
    np.testing.assert_array_equal(scaled.low, [-1, 4])
    np.testing.assert_array_equal(scaled.high, [0, 8])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(2.0, 3.0, (0, 3)), (-3.0, -2.0, (-3, 0)), (-1.0, 1.0, (-1, 1))],
)
def test_a_range_holds_zero(low: float, high: float, expected: tuple[float, float]) -> None:
    found = Extremes(np.array([low, low]), np.array([high, high])).range
    assert found == Range(*expected)


@pytest.fixture(scope="module")
def sums(small):
    """``relu(2 x - 3 y)`` of the first two channels: both terms go nowhere else."""

    def build(x: keras.KerasTensor) -> keras.KerasTensor:
        terms = [layers.Conv2D(1, 1, use_bias=False, name=name)(x) for name in ("one", "two")]
        y = layers.ReLU(name="relu")(layers.Add(name="sum")(terms))
        return layers.Dense(2, activation="softmax", name="head")(layers.Flatten()(y))

    made = small(build, (1, 4, 3), "none")
    made.model.get_layer("one").set_weights([np.array([2, 0, 0], np.float32).reshape(1, 1, 3, 1)])
    made.model.get_layer("two").set_weights([np.array([0, -3, 0], np.float32).reshape(1, 1, 3, 1)])
    return made


def test_a_sum_by_hand(sums) -> None:
    picture = np.array([[[[10, 0, 7], [50, 10, 7], [30, 40, 7], [90, 80, 7]]]], np.uint8)
    found = measured(sums, picture)
    network = sums.network
    ((total, (term, other)),) = discarding_sums(network).items()
    assert {network.writers[tensor].layer for tensor in (term, other)} == {"one", "two"}
    values = {"one": np.array([20, 100, 60, 180]), "two": np.array([0, -30, -120, -240])}
    x = values[network.writers[term].layer]
    y = values[network.writers[other].layer]
    # 20, 70, -60 and -60: the last two are cut to zero.
    assert found[network.operations[total].output].high == 70
    assert found[network.operations[total].output].low == 0
    assert found[term].low == np.maximum(x, -y).min()
    assert found[term].high == np.where(x + y > 0, x, np.minimum(x, 0)).max()
    assert (found[other].low, found[other].high) == (y.min(), y.max())
    np.testing.assert_array_equal(found[network.image].low, [0, 0, 0])
    np.testing.assert_array_equal(found[network.image].high, [255, 255, 255])


@pytest.mark.parametrize("seed", range(5))
def test_clipping_a_term_changes_no_sum(residual, seed: int) -> None:
    """On the pictures that were measured, for any weights."""
    network = residual.network
    rng = np.random.default_rng(seed)
    weights = {
        index: Weights(
            tf.constant(p.kernel * rng.uniform(-2, 2, p.kernel.shape).astype(np.float32)),
            tf.constant(p.bias + rng.normal(0, 1, p.bias.shape).astype(np.float32)),
        )
        for index, p in network.parameters.items()
    }
    pictures = residual.pictures[seed::5]
    (found,) = measure_activations(network, weights, pictures)
    terms = {term for term, _ in discarding_sums(network).values()}
    assert len(terms) == 2

    def clip(operation, output):
        if operation.output not in terms:
            return output
        extremes = found[operation.output]
        return tf.clip_by_value(
            output, extremes.low.astype(np.float32), extremes.high.astype(np.float32)
        )

    def outputs(observe):
        return np.concatenate(
            [run(network, weights, batch, observe) for batch in batches(network, pictures)]
        )

    exact = outputs(None)
    np.testing.assert_allclose(outputs(clip), exact, atol=1e-5 * np.abs(exact).max())


def test_what_a_relu_discards_need_not_be_represented(residual) -> None:
    """Terms that are added get narrower ranges; all other tensors keep theirs."""
    network, found = residual.network, measured(residual)
    plain: dict[int, tuple[float, float]] = {}

    def observe(operation, output):
        low, high = float(tf.reduce_min(output)), float(tf.reduce_max(output))
        before = plain.get(operation.output, (low, high))
        plain[operation.output] = min(low, before[0]), max(high, before[1])
        return output

    for batch in batches(network, residual.pictures):
        run(network, constant_weights(network), batch, observe)
    terms = [term for term, _ in discarding_sums(network).values()]
    assert any(found[term].low.min() > plain[term][0] for term in terms)
    for tensor, (low, high) in plain.items():
        if tensor in terms:
            assert found[tensor].low.min() >= low
            assert found[tensor].high.max() <= high
        else:
            assert found[tensor].low.min() == low
            assert found[tensor].high.max() == high


def test_sums_without_a_relu_discard_nothing(networks) -> None:
    for name in ("mobile", "attention"):
        assert not discarding_sums(networks[name].network)


def test_a_term_that_is_read_elsewhere_is_kept_whole(residual) -> None:
    """An identity shortcut is read by the next block, too: the branch is clipped instead."""
    network = residual.network
    clipped = [network.writers[term].layer for term, _ in discarding_sums(network).values()]
    assert clipped[0] in ("shortcut", "a_expand")
    assert clipped[1] == "b_expand"


def test_parts_merge_to_the_whole(each) -> None:
    first, second = (measured(each, each.pictures[part]) for part in (slice(9), slice(9, None)))
    assert_same(merge_statistics(first, second), measured(each))


def test_the_order_of_pictures_does_not_matter(residual) -> None:
    assert_same(measured(residual, residual.pictures[::-1]), measured(residual))


def test_progress(residual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "converters.quantization.tensorflow_execution.PIXELS_PER_BATCH", 4 * 16 * 16
    )
    seen: list[int] = []
    weights = constant_weights(residual.network)
    measure_activations(residual.network, weights, residual.pictures[:10], progress=seen.append)
    assert seen == [4, 4, 2]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_activations_that_are_not_finite_name_the_layer(residual, value: float) -> None:
    index = residual.operation("b_reduce")
    weights = constant_weights(residual.network)
    broken = weights[index].kernel.numpy()
    broken[..., 1] = value
    weights[index] = Weights(tf.constant(broken), weights[index].bias)
    with pytest.raises(ModelConversionError) as caught:
        measure_activations(residual.network, weights, residual.pictures[:2])
    assert str(caught.value) == (
        "calibration: tensor 'b_reduce' holds NaN or infinite values; the model's weights or the "
        "--preprocessing do not fit; check the float artifacts first"
    )
