"""Batches and steps, by hand."""

from __future__ import annotations

import pytest

from converters.quantization.learning_steps import batch_size, training_steps


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(32, 32, 32), (64, 64, 32), (128, 128, 8), (128, 64, 16), (224, 224, 4), (640, 640, 4)],
)
def test_batches_hold_as_many_pixels(height: int, width: int, expected: int) -> None:
    assert batch_size(height, width) == expected


@pytest.mark.parametrize(
    ("pictures", "size", "expected"),
    [(100, 32, 300), (6400, 32, 600), (100_000, 32, 1250), (1000, 4, 750)],
)
def test_three_epochs_within_bounds(pictures: int, size: int, expected: int) -> None:
    assert training_steps(pictures, size) == expected
