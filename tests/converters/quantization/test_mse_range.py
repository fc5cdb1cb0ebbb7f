"""Ranges from histograms, against hand-computed ones and what every range must fulfil."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.quantization.histogram import Histogram
from converters.quantization.mse_range import (
    DEAD_RANGE,
    SMALLEST_SPAN,
    min_max,
    mse,
    squared_error,
)
from converters.quantization.tensor_range import Range

METHODS = (min_max, mse)

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
    for find in METHODS:
        found = find(histogram(*values))
        assert math.isfinite(found.low)
        assert math.isfinite(found.high)
        assert whole.low <= found.low <= 0 <= found.high <= whole.high
        assert found.high - found.low >= SMALLEST_SPAN


@pytest.mark.parametrize("find", METHODS)
@pytest.mark.parametrize("values", [[0.0], [0.0] * 9, [1e-10, 0.0], [-1e-38, 2e-38]])
def test_a_dead_tensor(find: Callable[[Histogram], Range], values: list[float]) -> None:
    assert find(histogram(*values)) == DEAD_RANGE


@pytest.mark.parametrize("find", METHODS)
@pytest.mark.parametrize("value", [3.0, -3.0, 0.1, 1.0, 1e-6, -1e30])
def test_a_constant_is_represented(find: Callable[[Histogram], Range], value: float) -> None:
    value = float(np.float32(value))
    found = find(histogram(value, value))
    assert found == Range(min(value, 0.0), max(value, 0.0))


@pytest.mark.parametrize("find", METHODS)
def test_powers_of_two_scale_the_range(find: Callable[[Histogram], Range], normal) -> None:
    small, large = (find(Histogram.of(normal * np.float32(scale))) for scale in (0.125, 1024))
    assert large == Range(small.low * 8192, small.high * 8192)


@pytest.mark.parametrize("find", METHODS)
def test_a_live_tensor_with_the_range_of_a_dead_one(
    find: Callable[[Histogram], Range], normal
) -> None:
    values = np.append(np.abs(normal) / 50, np.float32(1)).astype(np.float32)
    assert min_max(Histogram.of(values)) == DEAD_RANGE
    half = find(Histogram.of(values / 2))
    assert find(Histogram.of(values)) == Range(0.0, half.high * 2)


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


@pytest.mark.parametrize("find", [mse, lambda h, n: squared_error(h, min_max(h), n)])
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
