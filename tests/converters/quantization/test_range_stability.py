"""Differences of ranges between two halves of the pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.quantization.range_stability import instability
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
