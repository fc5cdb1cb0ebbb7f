"""Steps and integers of weights, by hand, and the rounding of activations."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from converters.quantization.rounding import (
    fake_quantize,
    fake_quantize_kernel,
    round_weights,
    weight_scales,
    widened,
)
from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import CONVOLUTION, DENSE, DEPTHWISE

KERNELS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 3)),
    elements=st.floats(-100, 100, width=32),
)


def integers(kernel: np.ndarray, kind: str, grid: WeightGrid) -> np.ndarray:
    """As ``(weights, outputs)`` in the kernel's own order."""
    scales = weight_scales(kernel, kind, grid).numpy()
    rounded = round_weights(kernel, kind, scales).numpy().reshape(-1, len(scales))
    return np.rint(rounded / scales.astype(np.float64)).reshape(kernel.shape)


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (WeightGrid.FULL, [2.0 / 127, 1.0 / 127]),
        # The first column's neighbours of one sign are 2 and 1; the second's are -0.5 and -1.
        (WeightGrid.PAIR_SAFE, [3.0 / 127, 1.5 / 127]),
    ],
)
def test_steps_by_hand(grid: WeightGrid, expected: list[float]) -> None:
    kernel = np.array([[1, -0.5], [2, -1], [-2, 1], [1, 0]], np.float32)
    np.testing.assert_allclose(weight_scales(kernel, DENSE, grid), expected, rtol=1e-6)


def test_neighbours_in_both_orders_count() -> None:
    """Along the channels first no two large ones meet; along height and width they do."""
    kernel = np.zeros((1, 2, 2, 1), np.float32)
    kernel[0, 0, 0, 0] = kernel[0, 1, 0, 0] = 1
    (step,) = weight_scales(kernel, CONVOLUTION, WeightGrid.PAIR_SAFE).numpy()
    assert step == pytest.approx(2 / 127)
    (step,) = weight_scales(kernel.reshape(4, 1), DENSE, WeightGrid.PAIR_SAFE).numpy()
    assert step == pytest.approx(1 / 127)


def test_neighbours_of_opposite_signs_cancel() -> None:
    kernel = np.array([[1], [-1], [1], [-1]], np.float32)
    (step,) = weight_scales(kernel, DENSE, WeightGrid.PAIR_SAFE).numpy()
    assert step == pytest.approx(1 / 127)


def test_depthwise_channels_have_steps_of_their_own() -> None:
    kernel = np.zeros((1, 2, 2, 2), np.float32)
    kernel[0, 0] = [[1, -2], [3, 4]]
    kernel[0, 1] = [[-5, 1], [1, 1]]
    for grid in (WeightGrid.FULL, WeightGrid.PAIR_SAFE):
        found = weight_scales(kernel, DEPTHWISE, grid)
        np.testing.assert_allclose(found, np.array([5, 2, 3, 4]) / 127, rtol=1e-6)


def test_channels_without_weights_have_a_step() -> None:
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[..., 1] = 1
    for grid in WeightGrid:
        scales = weight_scales(kernel, CONVOLUTION, grid).numpy()
        assert scales[0] == 1
        rounded = round_weights(kernel, CONVOLUTION, scales).numpy()
        assert not rounded[..., 0].any()
        assert (np.abs(rounded[..., 1] - 1) <= scales[1] / 2).all()


@given(kernel=KERNELS)
@settings(max_examples=200, deadline=None)
def test_pair_safe_sums_never_saturate(kernel: np.ndarray) -> None:
    """Sixteen bits hold 255 times the sum of any neighbours of one sign."""
    found = integers(kernel, CONVOLUTION, WeightGrid.PAIR_SAFE)
    outputs = kernel.shape[-1]
    for columns in (
        found.reshape(-1, outputs),
        found.transpose(2, 0, 1, 3).reshape(-1, outputs),
    ):
        first, second = columns[:-1], columns[1:]
        alike = first * second > 0
        pairs = np.abs(first + second)[alike]
        assert (pairs <= 128).all()
        assert (255 * pairs < 32768).all()


@given(kernel=KERNELS, grid=st.sampled_from(list(WeightGrid)))
@settings(max_examples=200, deadline=None)
def test_no_weight_is_clipped_or_off_by_more_than_half_a_step(
    kernel: np.ndarray, grid: WeightGrid
) -> None:
    scales = weight_scales(kernel, CONVOLUTION, grid).numpy()
    assert (scales > 0).all()
    rounded = round_weights(kernel, CONVOLUTION, scales).numpy()
    assert (np.abs(rounded - kernel) <= 0.5001 * scales + 1e-12).all()
    assert np.abs(integers(kernel, CONVOLUTION, grid)).max() <= 127


@given(
    kernel=KERNELS,
    kind=st.sampled_from([CONVOLUTION, DEPTHWISE]),
    grid=st.sampled_from(list(WeightGrid)),
)
@settings(max_examples=50, deadline=None)
def test_the_differentiable_kernel_is_the_rounded_one(
    kernel: np.ndarray, kind: str, grid: WeightGrid
) -> None:
    variable = tf.Variable(kernel)
    with tf.GradientTape() as tape:
        found = fake_quantize_kernel(variable, kind, grid)
        total = tf.reduce_sum(found)
    scales = weight_scales(kernel, kind, grid)
    plain = round_weights(kernel, kind, scales).numpy()
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-4 * np.abs(kernel).max())
    np.testing.assert_array_equal(tape.gradient(total, variable), np.ones_like(kernel))


def reference(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Jacob et al. 2018: a step, a whole zero point, 256 levels."""
    step = (high - low) / 255
    zero_point = np.clip(np.rint(-low / step), 0, 255)
    level = np.clip(np.floor(x / step + 0.5) + zero_point, 0, 255)
    return (level - zero_point) * step


@given(
    x=hnp.arrays(np.float32, 50, elements=st.floats(-20, 20, width=32)),
    low=st.floats(-8, 0),
    high=st.floats(0.5, 8),
)
@settings(max_examples=100, deadline=None)
def test_rounded_activations_are_those_of_the_reference(
    x: np.ndarray, low: float, high: float
) -> None:
    step = (high - low) / 255
    between = np.abs(x / step - np.floor(x / step) - 0.5) < 1e-2  # either is right
    near_zero_point = abs(-low / step % 1 - 0.5) < 1e-2
    found = fake_quantize(tf.constant(x), low, high).numpy()
    wrong = np.abs(found - reference(x, low, high)) > 1e-3 * step + 1e-5
    assert near_zero_point or not wrong[~between].any()


@given(low=st.floats(-8, 0), high=st.floats(0.5, 8))
def test_zero_is_exact(low: float, high: float) -> None:
    assert fake_quantize(tf.zeros(1), low, high).numpy() == [0]


def test_gradients_by_hand() -> None:
    """Outside, the ends; inside, the value itself, and the ends as far as they move the step."""
    x, low, high = (tf.Variable(value) for value in ([-3.0, 0.5, 3.0], -1.0, 1.0))
    with tf.GradientTape() as tape:
        y = fake_quantize(x, low, high)
        total = tf.reduce_sum(y)
    slopes = tape.gradient(total, [x, low, high])
    np.testing.assert_array_equal(slopes[0], [0, 1, 0])
    of_step = (float(y[1]) - 0.5) / 2  # rounding error by the width of the range
    assert 0 < abs(of_step) <= 1 / 255 / 2
    assert float(slopes[1]) == pytest.approx(1 - of_step)
    assert float(slopes[2]) == pytest.approx(1 + of_step)


@given(high=st.floats(2, 8))
@settings(max_examples=20, deadline=None)
def test_a_range_that_is_too_wide_wants_to_shrink(high: float) -> None:
    """Nothing is clipped, so less rounding is all there is to gain."""
    x = tf.constant(np.random.default_rng(0).uniform(0, 1, 20_000).astype(np.float32))
    end = tf.Variable(high)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(fake_quantize(x, 0.0, end) - x))
    assert float(tape.gradient(loss, end)) > 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Range(1.0, 3.0), Range(0.0, 3.0)),
        (Range(-3.0, -1.0), Range(-3.0, 0.0)),
        (Range(-2.0, 2.0), Range(-2.0, 2.0)),
        (Range(0.0, 0.0), Range(0.0, 1.0)),
        (Range(0.0, 1e-12), Range(0.0, 1.0)),
    ],
)
def test_widened(before: Range, after: Range) -> None:
    assert widened(before) == after
