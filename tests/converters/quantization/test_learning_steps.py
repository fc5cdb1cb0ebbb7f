"""Batches and steps, by hand."""

from __future__ import annotations

import pytest

from converters.quantization.learning_steps import training_steps


@pytest.mark.parametrize(
    ("pictures", "size", "expected"),
    [(100, 32, 300), (6400, 32, 600), (100_000, 32, 1250), (1000, 4, 750)],
)
def test_three_epochs_within_bounds(pictures: int, size: int, expected: int) -> None:
    assert training_steps(pictures, size) == expected
