"""Ranges from histograms, against hand-computed ones and what every range must fulfil."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.quantization import clipping
from converters.quantization.clipping import (
    DEAD_RANGE,
    SMALLEST_SPAN,
    RangeMethod,
    choose_range,
    divergence,
    entropy,
    instability,
    min_max,
    moving_average,
    mse,
    percentile,
    squared_error,
)
from converters.quantization.histogram import Histogram
from converters.quantization.tensor_range import Range

OF_HISTOGRAMS = [method for method in RangeMethod if method is not RangeMethod.MOVING_AVERAGE]

numbers = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-8, 8, width=32),
    st.sampled_from([0.0, 1e-9, -1e-9, 1.0, -1.0]),
)
tensors = st.one_of(
    st.lists(numbers, min_size=1, max_size=30),
    st.lists(st.floats(-8, -0.125, width=32), min_size=1, max_size=30),
    st.builds(lambda value, size: [value] * size, numbers, st.integers(1, 9)),
)


def histogram(*values: float) -> Histogram:
    return Histogram.of(np.array(values, np.float32))


def simulated_error(values: np.ndarray, clip: Range) -> float:
    """Mean squared error of uint8 quantization, done value by value."""
    step = (clip.high - clip.low) / 255
    zero_point = np.rint(-clip.low / step)
    quantized = np.clip(np.rint(values / step) + zero_point, 0, 255)
    return float(np.mean(((quantized - zero_point) * step - values) ** 2))


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    return np.random.default_rng(1).normal(size=50_000).astype(np.float32)


@settings(deadline=None, max_examples=25)
@given(tensors)
def test_every_range_is_one(values: list[float]) -> None:
    whole = min_max(histogram(*values))
    for method in OF_HISTOGRAMS:
        found = choose_range(histogram(*values), method)
        assert math.isfinite(found.low)
        assert math.isfinite(found.high)
        assert whole.low <= found.low <= 0 <= found.high <= whole.high
        assert found.high - found.low >= SMALLEST_SPAN


@pytest.mark.parametrize("method", OF_HISTOGRAMS)
@pytest.mark.parametrize("values", [[0.0], [0.0] * 9, [1e-10, 0.0], [-1e-38, 2e-38]])
def test_a_dead_tensor(method: RangeMethod, values: list[float]) -> None:
    assert choose_range(histogram(*values), method) == DEAD_RANGE


@pytest.mark.parametrize("method", OF_HISTOGRAMS)
@pytest.mark.parametrize("value", [3.0, -3.0, 0.1, 1.0, 1e-6, -1e30])
def test_a_constant_is_represented(method: RangeMethod, value: float) -> None:
    value = float(np.float32(value))
    found = choose_range(histogram(value, value), method)
    assert found == Range(min(value, 0.0), max(value, 0.0))


@pytest.mark.parametrize("method", OF_HISTOGRAMS)
def test_powers_of_two_scale_the_range(method: RangeMethod, normal) -> None:
    small, large = (
        choose_range(Histogram.of(normal * np.float32(scale)), method) for scale in (0.125, 1024)
    )
    assert large == Range(small.low * 8192, small.high * 8192)


@pytest.mark.parametrize("method", OF_HISTOGRAMS)
def test_a_live_tensor_with_the_range_of_a_dead_one(method: RangeMethod, normal) -> None:
    values = np.append(np.abs(normal) / 50, np.float32(1)).astype(np.float32)
    assert min_max(Histogram.of(values)) == DEAD_RANGE
    half = choose_range(Histogram.of(values / 2), method)
    assert choose_range(Histogram.of(values), method) == Range(0.0, half.high * 2)


def test_choose_range_calls_each_method(normal) -> None:
    of = Histogram.of(normal)
    found = [choose_range(of, method) for method in OF_HISTOGRAMS]
    assert found == [min_max(of), percentile(of), mse(of), entropy(of)]
    assert len(set(found)) > 2


def test_moving_average_is_no_function_of_a_histogram() -> None:
    with pytest.raises(ValueError, match="order of the pictures") as caught:
        choose_range(histogram(1, 2), RangeMethod.MOVING_AVERAGE)
    assert str(caught.value) == (
        "method moving-average depends on the order of the pictures, which a histogram does not "
        "hold; expected min-max, percentile, mse or entropy; call moving_average instead"
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-2, 0.5, 3], Range(-2.0, 3.0)),
        ([5, 6], Range(0.0, 6.0)),
        ([-6, -5], Range(-6.0, 0.0)),
        ([0, 1e-6], Range(0.0, float(np.float32(1e-6)))),
    ],
)
def test_min_max_by_hand(values: list[float], expected: Range) -> None:
    assert min_max(histogram(*values)) == expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (0, Range(0.0, 921.5)),  # 102 of 1024 go: those from 922 on; bins of 0.5
        (-1023, Range(-921.0, 0.0)),
        (-512, Range(-461.0, 460.5)),  # 51 at each end
        (1, Range(0.0, 922.5)),
    ],
)
def test_percentile_by_hand(start: int, expected: Range) -> None:
    assert percentile(histogram(*range(start, start + 1024)), 0.9) == expected


@settings(deadline=None)
@given(tensors, st.floats(0.01, 1))
def test_percentile_keeps_its_share(values: list[float], share: float) -> None:
    found = percentile(histogram(*values), share)
    kept = sum(found.low <= value <= found.high for value in np.float32(values).tolist())
    assert kept >= share * len(values) or found == DEAD_RANGE


@given(tensors)
def test_all_values_are_the_range_from_end_to_end(values: list[float]) -> None:
    assert percentile(histogram(*values), 1.0) == min_max(histogram(*values))


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_percentile_of_an_impossible_share(share: float) -> None:
    with pytest.raises(ValueError, match="share") as caught:
        percentile(histogram(1, 2), share)
    assert str(caught.value) == f"share {share}; expected above 0 and at most 1"


def test_squared_error_by_hand() -> None:
    """Bins of 1; levels 0 and 512: a third below 1, and from 512 to 513 away beyond 1024."""
    found = squared_error(histogram(0, 1024), Range(0.0, 512.0), levels=2)
    assert found == pytest.approx((1 / 3 + (513**3 - 512**3) / 3) / 2, rel=1e-12)


def test_squared_error_of_rounding_is_a_twelfth() -> None:
    """Bins of 1, levels 4 apart."""
    found = squared_error(histogram(*range(1025)), Range(0.0, 1024.0), levels=257)
    assert found == pytest.approx(4**2 / 12, rel=2e-3)


def test_squared_error_nudges_the_zero_point() -> None:
    of = histogram(*range(256))
    assert squared_error(of, Range(-0.4, 254.6)) == pytest.approx(
        squared_error(of, Range(0.0, 255.0))
    )


@pytest.mark.parametrize("clip", [Range(-5.0, 5.0), Range(-3.1, 1.3), Range(-0.3, 2.0)])
def test_squared_error_agrees_with_quantizing(normal, clip: Range) -> None:
    expected = simulated_error(normal, clip)
    assert squared_error(Histogram.of(normal), clip) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("clip", [Range(1.0, 2.0), Range(0.0, 0.0), Range(-2.0, -1.0)])
def test_squared_error_of_an_impossible_range(clip: Range) -> None:
    with pytest.raises(ValueError, match="range") as caught:
        squared_error(histogram(1, 2), clip)
    assert str(caught.value) == f"range from {clip.low} to {clip.high}; expected one around zero"


@pytest.mark.parametrize("find", [mse, entropy, lambda h, n: squared_error(h, min_max(h), n)])
def test_too_few_levels(find: Callable[[Histogram, int], object]) -> None:
    with pytest.raises(ValueError, match=r"^levels 1; expected 2 or more$"):
        find(histogram(1, 2), 1)


@settings(deadline=None, max_examples=25)
@given(tensors, st.sampled_from([16, 256]))
def test_mse_is_no_worse_than_min_max(values: list[float], levels: int) -> None:
    of = histogram(*values)
    found = squared_error(of, mse(of, levels), levels)
    assert found <= squared_error(of, min_max(of), levels)


def test_mse_keeps_uniform_values() -> None:
    of = Histogram.of(np.linspace(-3, 1, 40_000, dtype=np.float32))
    assert mse(of) == Range(-3.0, 1.0)


def test_mse_clips_each_end_alone(normal) -> None:
    values = np.append(np.tile(normal, 20), np.float32([60])).astype(np.float32)
    found = mse(Histogram.of(values))
    assert -4.5 < found.low < -3
    assert found.high < 30
    assert simulated_error(values, found) < simulated_error(values, Range(-4.5, 60.0)) / 2


def test_mse_clips_more_with_fewer_levels(normal) -> None:
    of = Histogram.of(normal)
    widths = [mse(of, levels).high for levels in (4, 16, 256)]
    assert widths == sorted(widths)
    assert widths[0] < widths[2] * 0.7


def test_divergence_by_hand() -> None:
    """The example of the TensorRT slides: 8 bins, 2 levels, one bin empty."""
    counts = np.array([1, 0, 2, 3, 5, 3, 1, 7])
    quantized = np.array([2, 0, 2, 2, 4, 4, 4, 4])
    expected = sum(p / 22 * math.log(p / q) for p, q in zip(counts, quantized, strict=True) if p)
    assert divergence(counts, counts, 2) == pytest.approx(expected, rel=1e-12)


def test_divergence_with_outliers_by_hand() -> None:
    reference, inside = np.array([1, 1, 2, 4]), np.array([1, 1, 2, 2])
    expected = (1 * math.log(6 / 8) * 4 + 4 * math.log(12 / 8)) / 8
    assert divergence(reference, inside, 4) == pytest.approx(expected, rel=1e-12)


def test_divergence_with_outliers_in_a_shared_level_by_hand() -> None:
    found = divergence(np.array([1, 1, 4]), np.array([1, 1, 0]), 1)
    assert found == pytest.approx(2 / 6 * math.log(3 / 6) + 4 / 6 * math.log(3 * 4 / 6), rel=1e-12)


def test_divergence_of_nothing_lost_is_zero() -> None:
    counts = np.array([3, 0, 9, 1])
    assert divergence(counts, counts, 4) == 0


@pytest.mark.parametrize("inside", [[1, 1, 0], [0, 0, 0]])
def test_divergence_is_infinite_where_only_outliers_are(inside: list[int]) -> None:
    assert divergence(np.array([1, 1, 5]), np.array(inside), 3) == math.inf


def test_entropy_cuts_a_far_tail(normal) -> None:
    relu = np.append(np.maximum(normal, 0), np.float32([8, 9, 10])).astype(np.float32)
    found = entropy(Histogram.of(relu))
    assert found.low == 0
    assert 2.5 < found.high < 5


def test_entropy_cuts_both_ends(normal) -> None:
    values = np.append(normal, np.float32([-10, 12])).astype(np.float32)
    found = entropy(Histogram.of(values))
    assert found.low == -found.high
    assert 2.5 < found.high < 6


def test_entropy_leaves_the_nearer_end_alone(normal) -> None:
    values = np.append(np.maximum(normal, -0.25), np.float32([20])).astype(np.float32)
    found = entropy(Histogram.of(values))
    assert found.low == -0.25
    assert found.high < 10


def test_entropy_does_not_mind_zeros(normal) -> None:
    values = np.append(np.abs(normal), np.float32([20])).astype(np.float32)
    with_zeros = np.append(values, np.zeros(100_000, np.float32))
    assert entropy(Histogram.of(with_zeros)) == entropy(
        Histogram.of(np.append(values, np.zeros(1_000, np.float32)))
    )


@pytest.mark.parametrize("values", [[0, 1], [-1, 1], [-1, 0, 1e-3], [0, 0, 0, 7], [5, 6]])
def test_entropy_of_a_sparse_histogram_keeps_everything(values: list[float]) -> None:
    assert entropy(histogram(*values)) == min_max(histogram(*values))


def test_entropy_with_more_levels_than_bins(normal) -> None:
    of = Histogram.of(normal)
    assert entropy(of, levels=65_536) == min_max(of)


def test_a_range_too_narrow_for_a_step_is_not_chosen() -> None:
    of = histogram(*[0.0] * 999, 2e-9)
    assert percentile(of, 0.99) == min_max(of) == Range(0.0, float(np.float32(2e-9)))


def test_moving_average_by_hand() -> None:
    found = moving_average(Range(-2.0, 4.0), Range(-4.0, 0.0), momentum=0.75)
    assert found == Range(-2.5, 3.0)


def test_moving_average_contains_zero() -> None:
    assert moving_average(Range(1.0, 4.0), Range(2.0, 8.0), momentum=0.5) == Range(0.0, 6.0)
    assert moving_average(Range(0.0, 0.0), Range(0.0, 0.0)) == DEAD_RANGE


def test_moving_average_weighs_what_came_before_most() -> None:
    assert moving_average(Range(0.0, 1.0), Range(0.0, 2.0)).high == pytest.approx(1.05)
    assert clipping.MOMENTUM == 0.95


def test_moving_average_depends_on_the_order() -> None:
    one, other = Range(0.0, 1.0), Range(0.0, 2.0)
    assert moving_average(one, other) != moving_average(other, one)


@pytest.mark.parametrize("momentum", [1.0, -0.1, math.nan])
def test_moving_average_of_an_impossible_momentum(momentum: float) -> None:
    with pytest.raises(ValueError, match="momentum") as caught:
        moving_average(Range(0.0, 1.0), Range(0.0, 1.0), momentum)
    assert str(caught.value) == f"momentum {momentum}; expected at least 0 and below 1"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([-1, 3], [-1, 3], 0.0),
        ([0, 3], [0, 4], 0.25),
        ([-1, 3], [-2, 2.5], 0.2),  # low ends 1 apart, high ends 0.5, of 5
        ([6, 7], [7, 8], 0.125),  # with zero
        ([0], [5], 1.0),
        ([0], [0, 0], 0.0),
        ([-2], [2], 0.5),
    ],
)
def test_instability_by_hand(first: list[float], second: list[float], expected: float) -> None:
    assert instability(histogram(*first), histogram(*second)) == expected


@given(tensors, tensors)
def test_instability_is_a_share_and_symmetric(first: list[float], second: list[float]) -> None:
    one, other = histogram(*first), histogram(*second)
    assert 0 <= instability(one, other) == instability(other, one) <= 1
    assert instability(one, one) == 0
