"""Each corruption by values computed by hand, on tiny pictures."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from resnet_edge.robustness.corrupting import (
    add_noise,
    blur,
    compress,
    corrupt,
    darken,
    rotate,
)
from resnet_edge.robustness.corruptions import Corruption

SHA256 = hashlib.sha256(b"a picture").hexdigest()
EVEN, ODD = "00" * 31 + "02", "00" * 31 + "03"


def grey(*rows: tuple[int, ...]) -> np.ndarray:
    """A picture of equal colours."""
    return np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2)


def random_picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_dark_divides_the_light_and_not_the_values():
    # 128 is a light of ((0.50196 + 0.055) / 1.055) ** 2.4 = 0.21586. An eighth of it, 0.026983, is
    # 1.055 * 0.026983 ** (1 / 2.4) - 0.055 = 0.17908 = 45.67 of 255. White's eighth is 0.125: 99.1.
    # 8 lies on the straight part of the curve, so an eighth of it is 1.
    assert darken(grey((0, 8, 128, 255)))[0, :, 0].tolist() == [0, 1, 46, 99]
    assert darken(grey((0, 8, 128, 255)), stops=0)[0, :, 0].tolist() == [0, 8, 128, 255]


def test_blur_spreads_a_point_as_a_gaussian():
    point = np.zeros((9, 9, 3), np.uint8)
    point[4, 4] = 255
    # Without rounding the kernel of sigma 1 is exp(-x**2 / 2) / 2.5066: 0.39894, 0.24197, 0.05399.
    shares = (0.39894, 0.24197, 0.05399)
    found = blur(point, 1.0)[..., 0]
    for y in range(3):
        for x in range(3):
            expected = 255 * shares[y] * shares[x]
            assert abs(int(found[4 + y, 4 - x]) - expected) <= 0.6, (y, x)


def test_blur_mirrors_the_border():
    # Beyond the border comes 200 | 200, 0, so a step at the border's distance is symmetric.
    row = grey((200, 0, 0, 0, 0, 0, 0, 0))
    twice = grey((0, 0, 0, 0, 0, 0, 0, 200, 200, 0, 0, 0, 0, 0, 0, 0))
    assert (blur(row, 1.0) == blur(twice, 1.0)[:, 8:]).all()


def test_blur_is_scaled_to_the_shorter_side():
    picture = random_picture(112, 150)
    found = corrupt(picture, SHA256, Corruption.BLUR)
    assert (found == blur(picture, 1.0)).all()  # 2 pixels at 224 are 1 at 112


def test_noise_has_the_standard_deviation_it_says():
    middle = np.full((100, 100, 3), 128, np.uint8)
    added = add_noise(middle, SHA256).astype(float) - 128
    assert abs(added.mean()) < 4 * 20.4 / math.sqrt(30_000)
    assert abs(added.std() - 0.08 * 255) < 4 * 20.4 / math.sqrt(2 * 30_000)
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.04


def test_noise_is_the_generator_that_never_changes():
    # RandomState's stream is frozen (NEP 19): these are normal(0, 20.4) of seed words 0, 0, 0, 0.
    noise = np.random.RandomState(np.zeros(4, "<u4")).normal(0, 20.4, (1, 2, 3))
    expected = 100 + np.rint(noise)
    assert (add_noise(np.full((1, 2, 3), 100, np.uint8), "00" * 32) == expected).all()


def test_noise_is_another_for_each_picture():
    middle = np.full((8, 8, 3), 128, np.uint8)
    assert (add_noise(middle, SHA256) != add_noise(middle, EVEN)).any()


def test_jpeg_keeps_steps_of_ten_levels():
    # At quality 10 the first number of a block is rounded to 16 * 5 = 80, and a block of 128 + d
    # has 8 * d there: so flat grey comes in steps of 10 around 128.
    for level, expected in ((128, 128), (131, 128), (135, 138), (138, 138), (100, 98)):
        assert set(compress(grey(*[(level,) * 8] * 8)).ravel().tolist()) == {expected}, level


def test_rotation_keeps_a_slope_a_slope():
    # Along x the slope is 10 * x; turned to the left by a, a place takes 10 * (c + cos a * (x - c)
    # - sin a * (y - c)), exactly, because it is linear between pixels.
    slope = grey(*[tuple(10 * x for x in range(21))] * 21)
    found = rotate(slope, 10.0)[..., 0].astype(float)
    cosine, sine = math.cos(math.radians(10)), math.sin(math.radians(10))
    for y, x in ((10, 10), (6, 10), (10, 15), (4, 6), (15, 14)):
        expected = 10 * (10 + cosine * (x - 10) - sine * (y - 10))
        assert abs(found[y, x] - expected) <= 0.5, (y, x)


def test_rotation_turns_to_the_left():
    # A bar from the middle to the right ends up above the middle at the right.
    bar = np.zeros((41, 41, 3), np.uint8)
    bar[20, 20:] = 255
    assert rotate(bar, 10.0)[:20, 30:].sum() > 0
    assert rotate(bar, 10.0)[21:, 30:].sum() == 0


def test_a_quarter_turn_is_numpys():
    picture = random_picture(7, 7)
    assert (rotate(picture, 90.0) == np.rot90(picture)).all()


def test_rotation_has_no_empty_corners():
    white = np.full((31, 17, 3), 255, np.uint8)
    assert (rotate(white, 10.0) == 255).all()


def test_the_hash_says_to_which_side():
    picture = random_picture(32, 32)
    assert (corrupt(picture, ODD, Corruption.ROTATION) == rotate(picture, 10.0)).all()
    assert (corrupt(picture, EVEN, Corruption.ROTATION) == rotate(picture, -10.0)).all()


@pytest.mark.parametrize("corruption", Corruption)
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (33, 20), (1, 1)])
def test_pixels_in_pixels_out(corruption, size):
    picture = random_picture(*size)
    kept = picture.copy()
    first, second = (corrupt(picture, SHA256, corruption) for _ in range(2))
    assert (picture == kept).all(), "the picture itself is not changed"
    assert (first == second).all()
    assert (first.shape, first.dtype) == ((*size, 3), np.uint8)
    assert first.flags.c_contiguous


@pytest.mark.parametrize("corruption", Corruption)
@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_do_not_run_over(corruption, level):
    flat = np.full((16, 16, 3), level, np.uint8)
    found = corrupt(flat, SHA256, corruption)
    expected = 99 if (corruption, level) == (Corruption.DARK, 255) else level
    assert abs(np.median(found) - expected) <= 2  # JPEG's steps: 0 and 255 are 3 off a step
    if corruption is Corruption.NOISE:
        assert abs(found.astype(int) - level).max() < 128


@pytest.mark.parametrize("corruption", [c for c in Corruption if c is not Corruption.NOISE])
def test_a_grey_picture_stays_grey(corruption):
    rng = np.random.default_rng(1)
    picture = grey(*rng.integers(0, 256, (32, 32)))
    found = corrupt(picture, SHA256, corruption).astype(int)
    assert (found.max(axis=2) == found.min(axis=2)).all()
