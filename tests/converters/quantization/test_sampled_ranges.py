"""Ranges of least squared error from counted values, against ranges computed by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from converters.quantization.responses import Response
from converters.quantization.sampled_ranges import (
    BINS,
    PARTS,
    chosen_ranges,
    least_error,
    least_error_ranges,
)
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import constant_weights
from converters.quantization.tflite_network import Operation, TfliteNetwork


def counted(span: Range, **values: int) -> np.ndarray:
    """Counts by value, such as ``v1_5=3`` for 1.5 or ``m2=1`` for -2."""
    counts = np.zeros(BINS, np.int64)
    for name, count in values.items():
        value = float(name[1:].replace("_", ".")) * (-1 if name[0] == "m" else 1)
        counts[int((value - span.low) / (span.high - span.low) * BINS)] += count
    return counts


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def test_a_rare_large_value_is_clipped_as_far_as_rounding_gains() -> None:
    # The error of the range [0, h] is N (h / 255)**2 / 12 + (8 - h)**2; its slope is zero where
    # N h = 255**2 * 12 * (8 - h): for h = 4 if N is 255**2 * 12.
    span = Range(0.0, 8.0)
    counts = counted(span, v1=255**2 * 12, v7_999=1)
    assert least_error(counts, span) == Range(0.0, 4.0)


def test_each_end_is_moved_alone() -> None:
    span = Range(-8.0, 8.0)
    counts = counted(span, v1=10**9, v7_999=10**9, m7_999=1)
    found = least_error(counts, span)
    assert found.high == 8.0
    # The end of one value is cut twice down to an eighth.
    assert found.low == -8.0 / 64


def test_values_that_the_activation_levels_do_not_count() -> None:
    span = Range(-8.0, 8.0)
    counts = counted(span, m4=1000, v7_999=1000)
    kept = least_error(counts, span)
    assert kept.low <= -4.0
    assert least_error(counts, span, relu) == Range(-8.0 / 64, 8.0)


def test_a_range_without_width_can_be_quantized() -> None:
    span = Range(0.0, 1e-9)
    assert least_error(counted(span), span) == Range(0.0, 1.0)


def error_of(found: Range, counts: np.ndarray, span: Range, respond: Response | None) -> float:
    """Squared error by the formula, a bin at a time."""
    width = (span.high - span.low) / BINS
    step = (found.high - found.low) / 255
    total = 0.0
    for place in np.flatnonzero(counts):
        value = span.low + (place + 0.5) * width
        clipped = min(max(value, found.low), found.high)
        passes = 1.0 if respond is None or value > 0 else 0.0
        error = (clipped - value) if respond is None else max(clipped, 0) - max(value, 0)
        rounding = passes * step**2 / 12 if clipped == value else 0.0
        total += float(counts[place]) * (error**2 + rounding)
    return total


@settings(deadline=None, max_examples=30)
@given(
    st.floats(-50, -1),
    st.floats(1, 50),
    st.dictionaries(st.integers(0, BINS - 1), st.integers(1, 10**6), min_size=1, max_size=12),
    st.sampled_from([None, relu]),
)
def test_no_shared_part_of_the_range_has_a_smaller_error(low, high, places, respond) -> None:
    span, counts = Range(low, high), np.zeros(BINS, np.int64)
    zero = int(-low / (high - low) * BINS)  # where a ReLU bends, the formula is no good
    for place, count in places.items():
        counts[place] = 0 if abs(place - zero) < 3 else count
    found = least_error(counts, span, respond)
    assert low <= found.low <= 0 <= found.high <= high
    smallest = min(error_of(Range(low * p, high * p), counts, span, respond) for p in PARTS)
    assert error_of(found, counts, span, respond) <= smallest * (1 + 1e-9) + 1e-12


PICTURE, HIDDEN, SWITCHED, POOLED, ANSWER = range(5)
NETWORK = TfliteNetwork(
    (
        Operation(0, "CONV_2D", (PICTURE,), (HIDDEN,), "NONE", None, "conv"),
        Operation(1, "TANH", (HIDDEN,), (SWITCHED,), "NONE", None, "tanh"),
        Operation(2, "MEAN", (SWITCHED,), (POOLED,), "NONE", None, "pool"),
        Operation(3, "SOFTMAX", (POOLED,), (ANSWER,), "NONE", None, "softmax"),
    ),
    ("picture", "hidden", "switched", "pooled", "answer"),
    ((1, 8, 8, 3), (1, 4, 4, 5), (1, 4, 4, 5), (1, 5), (1, 5)),
    {},
    PICTURE,
    ANSWER,
)
EXTREMES = {tensor: Range(-8.0, 4.0) for tensor in range(5)}
FOUND = {tensor: Range(-2.0, 3.0) for tensor in range(5)}


@pytest.mark.parametrize(
    ("by_error", "hidden", "switched"),
    [
        # Of the extremes the low end alone is cut, and only in front of an activation.
        (False, Range(-2.0, 4.0), Range(-8.0, 4.0)),
        (True, Range(-2.0, 3.0), Range(-2.0, 3.0)),
    ],
)
def test_extremes_and_least_error(by_error: bool, hidden: Range, switched: Range) -> None:
    assert chosen_ranges(NETWORK, EXTREMES, FOUND, by_error, 1.25) == {
        PICTURE: Range(-8.0, 4.0),
        HIDDEN: hidden,
        SWITCHED: switched,
        POOLED: Range(-10.0, 5.0),  # one position: the extremes with a margin
        ANSWER: Range(-8.0, 4.0),
    }


def test_a_vector_in_front_of_an_activation_has_its_low_end_cut_and_then_a_margin() -> None:
    shapes = (*NETWORK.shapes[:1], (1, 1, 1, 5), *NETWORK.shapes[2:])
    vector = TfliteNetwork(NETWORK.operations, NETWORK.names, shapes, {}, PICTURE, ANSWER)
    chosen = chosen_ranges(vector, EXTREMES, FOUND, True, 1.25)
    assert chosen[HIDDEN] == Range(-2.5, 5.0)


def test_values_are_those_of_the_pictures(small: Callable) -> None:
    def build(x):
        y = layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
        y = layers.GlobalAveragePooling2D()(y)
        return layers.Dense(3, activation="softmax", name="head")(y)

    made = small(build, (8, 8, 3), "none")
    network, weights = made.network, constant_weights(made.network)
    conv = next(op.output for op in network.operations if op.kind == "CONV_2D")
    black = np.zeros((3, 8, 8, 3), np.uint8)
    span = Range(-2000.0, 4000.0)
    # Zeros are exact in any range: with no other value the range stays.
    assert least_error_ranges(network, weights, {conv: span}, black) == {conv: span}

    kernel = network.parameters[made.operation("conv")].kernel
    pictures = made.pictures[-4:]
    windows = np.lib.stride_tricks.sliding_window_view(pictures.astype(np.float64), (3, 3), (1, 2))
    values = np.einsum("nhwcij,ijco->nhwo", windows, kernel).reshape(-1)
    extremes = Range(min(0.0, float(values.min())), float(values.max()))
    counts, _ = np.histogram(values[values != 0], BINS, (extremes.low, extremes.high))
    expected = least_error(counts, extremes)
    found = least_error_ranges(network, weights, {conv: extremes}, pictures)[conv]
    assert math.isclose(found.low, expected.low, rel_tol=0.05)
    assert math.isclose(found.high, expected.high, rel_tol=0.05)
