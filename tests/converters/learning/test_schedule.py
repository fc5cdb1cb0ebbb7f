"""Batches, orders and decays, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from converters.learning.schedule import batch_size, cosine, shuffled


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(32, 32, 32), (64, 64, 32), (128, 128, 8), (128, 64, 16), (224, 224, 4), (640, 640, 4)],
)
def test_batches_hold_as_many_pixels(height: int, width: int, expected: int) -> None:
    assert batch_size(height, width) == expected


def test_every_index_comes_before_one_comes_again() -> None:
    found = list(shuffled(10, 4, 5, seed=1))
    assert [len(one) for one in found] == [4] * 5
    joined = np.concatenate(found)
    assert sorted(joined[:10]) == sorted(joined[10:]) == list(range(10))
    assert (joined[:10] != joined[10:]).any()
    np.testing.assert_array_equal(np.concatenate(list(shuffled(10, 4, 5, seed=1))), joined)


def test_batches_may_be_larger_than_what_there_is() -> None:
    (one,) = shuffled(3, 8, 1, seed=0)
    assert np.bincount(one).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_rates_fall_from_one_to_zero() -> None:
    shares = [cosine(step, 4) for step in range(5)]
    assert shares == pytest.approx([1.0, 0.5 + 0.5 * 0.5**0.5, 0.5, 0.5 - 0.5 * 0.5**0.5, 0.0])
