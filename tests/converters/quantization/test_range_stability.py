"""Differences of ranges between two halves of the pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from converters.quantization.activation_extremes import Extremes
from converters.quantization.range_stability import instability, wider_by_instability
from converters.quantization.tensor_range import Range

tensors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)


def span(*values: float) -> Range:
    held = np.array(values, np.float32)
    return Range(float(held.min()), float(held.max()))


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
    assert instability(span(*first), span(*second)) == expected


@given(tensors, tensors)
def test_instability_is_a_share_and_symmetric(first: list[float], second: list[float]) -> None:
    one, other = span(*first), span(*second)
    assert 0 <= instability(one, other) == instability(other, one) <= 1
    assert instability(one, one) == 0


def test_a_margin_where_halves_differ(small) -> None:
    network = small(
        lambda x: layers.Softmax()(layers.Flatten()(layers.ReLU()(x))), (2, 2, 3)
    ).network

    def extremes(high: float) -> Extremes:
        return Extremes(np.zeros(3, np.float32), np.full(3, high, np.float32))

    inner = next(t for t in network.writers if t != network.answer)
    tensors_ = (network.image, inner, network.answer)
    first, second = ({t: extremes(high) for t in tensors_} for high in (4.0, 5.0))
    ranges = dict.fromkeys(tensors_, Range(-1.0, 5.0))
    wider = wider_by_instability(network, ranges, first, second)
    assert wider[inner] == Range(pytest.approx(-1.2), pytest.approx(6.0))  # a fifth
    assert wider[network.image] == wider[network.answer] == Range(-1.0, 5.0)
