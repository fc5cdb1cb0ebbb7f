"""Sizes to try; the networks themselves are tested with the search."""

import pytest

from resnet_edge.compression.networks import sizes_to_try


@pytest.mark.parametrize(
    ("own", "sizes"),
    [
        ((224, 224), [(224, 224), (192, 192), (160, 160), (128, 128)]),
        ((64, 64), [(64, 64), (56, 56), (48, 48), (40, 40)]),
        ((32, 32), [(32, 32), (24, 24)]),
        ((16, 16), [(16, 16)]),
        ((128, 64), [(128, 64), (112, 56), (96, 48), (80, 40)]),
    ],
)
def test_sizes_fall_in_steps_of_eight(own: tuple[int, int], sizes: list) -> None:
    assert list(sizes_to_try(own, None)) == sizes


def test_sizes_that_are_asked_for_keep_the_ratio() -> None:
    assert sizes_to_try((224, 224), (100, 50)) == ((100, 100), (50, 50))
    assert sizes_to_try((128, 64), (96,)) == ((96, 48),)
