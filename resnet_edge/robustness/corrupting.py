"""Corrupted pictures: pure functions from pixels to pixels.

What is corrupted is the picture of the network's own size, as in ImageNet-C (Hendrycks and
Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019). So a corruption is equally strong whatever camera took the picture: a blur of 2 pixels in a
photo of 12 megapixels is gone when the photo has been brought to 224 x 224.

The strengths are such that a good network still answers, because where the reference guesses there
is nothing to compare with. ``blur`` is severity 2 of ImageNet-C's Gaussian blur, scaled with the
picture; ``noise`` is severity 1 of its Gaussian noise; ``jpeg`` of quality 10 is its severity 4.
``dark`` and ``rotation`` are not in it.

The same picture always becomes the same: noise and the side of the rotation follow from the hash of
the picture's file.
"""

from __future__ import annotations

import functools
import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet_edge.ondevice.pictures import Pixels
from resnet_edge.robustness.corruptions import (
    BLUR_SIDE,
    BLUR_SIGMA,
    DEGREES,
    JPEG_QUALITY,
    NOISE_SHARE,
    STOPS,
    Corruption,
)

METHOD = 1
"""Raise it when a corruption begins to give other pixels."""

Floats = npt.NDArray[np.float64]

_TRUNCATE = 4.0
"""The blur's kernel ends after so many standard deviations."""


def corrupt(pixels: Pixels, sha256: str, corruption: Corruption) -> Pixels:
    """Corrupt a picture.

    Args:
        pixels: uint8 ``(height, width, 3)``.
        sha256: Hash of the picture's file, in hexadecimal; gives the randomness.
        corruption: The way to corrupt it.

    Returns:
        uint8 array of the same shape.
    """
    match corruption:
        case Corruption.DARK:
            return darken(pixels)
        case Corruption.BLUR:
            return blur(pixels, BLUR_SIGMA * min(pixels.shape[:2]) / BLUR_SIDE)
        case Corruption.NOISE:
            return add_noise(pixels, sha256)
        case Corruption.JPEG:
            return compress(pixels)
        case Corruption.ROTATION:
            return rotate(pixels, DEGREES if int(sha256, 16) % 2 else -DEGREES)


def darken(pixels: Pixels, stops: float = STOPS) -> Pixels:
    """Lower the exposure: each stop halves the light, computed in the linear light of sRGB."""
    darker: Pixels = _exposure_table(stops)[pixels]
    return darker


@functools.lru_cache
def _exposure_table(stops: float) -> Pixels:
    """Return the new value of each of the 256 (IEC 61966-2-1, sRGB)."""
    values = np.arange(256) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = linear / 2**stops
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return _as_pixels(255 * encoded)


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Blur with a Gaussian of ``sigma`` pixels; beyond its border the picture is mirrored."""
    kernel = _gaussian(sigma)
    blurred = pixels.astype(np.float64)
    for axis in (0, 1):
        blurred = _filtered(blurred, kernel, axis)
    return _as_pixels(blurred)


def _gaussian(sigma: float) -> Floats:
    radius = math.ceil(_TRUNCATE * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel: Floats = weights / weights.sum()
    return kernel


def _filtered(values: Floats, kernel: Floats, axis: int) -> Floats:
    radius, side = len(kernel) // 2, values.shape[axis]
    total = np.zeros_like(values)
    for offset, weight in zip(range(-radius, radius + 1), kernel.tolist(), strict=True):
        places = _mirrored(np.arange(side) + offset, side)
        total += weight * values.take(places, axis)
    return total


def add_noise(pixels: Pixels, sha256: str, share: float = NOISE_SHARE) -> Pixels:
    """Add Gaussian noise, independent for each pixel and colour.

    ``RandomState`` gives the same numbers in every version of NumPy (NEP 19).
    """
    words = np.frombuffer(bytes.fromhex(sha256)[:16], "<u4")
    noise = np.random.RandomState(words).normal(0.0, 255 * share, pixels.shape)
    return _as_pixels(pixels + noise)


def compress(pixels: Pixels, quality: int = JPEG_QUALITY) -> Pixels:
    """Compress as a JPEG and decode it; colours have half the resolution, as cameras do."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    return np.array(Image.open(stream).convert("RGB"))


def rotate(pixels: Pixels, degrees: float) -> Pixels:
    """Rotate around the centre, to the left where ``degrees`` is positive.

    Between pixels it is linear; beyond its border the picture is mirrored.
    """
    values, total = pixels.astype(np.float64), np.zeros(pixels.shape)
    for rows, columns, weights in _corners(pixels.shape[0], pixels.shape[1], degrees):
        total += weights[..., None] * values[rows, columns]
    return _as_pixels(total)


Corner = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]


@functools.lru_cache(maxsize=2)  # one size, to the left and to the right
def _corners(height: int, width: int, degrees: float) -> tuple[Corner, ...]:
    """Return the four pixels around the place that each pixel comes from, with their weights."""
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y, x = np.mgrid[:height, :width].astype(np.float64)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    from_x = middle_x + cosine * (x - middle_x) - sine * (y - middle_y)
    from_y = middle_y + sine * (x - middle_x) + cosine * (y - middle_y)
    top, left = np.floor(from_y).astype(np.intp), np.floor(from_x).astype(np.intp)
    down, right = from_y - top, from_x - left
    return tuple(
        (
            _mirrored(top + below, height),
            _mirrored(left + beside, width),
            (down if below else 1 - down) * (right if beside else 1 - right),
        )
        for below in (0, 1)
        for beside in (0, 1)
    )


def _mirrored(places: npt.NDArray[np.intp], side: int) -> npt.NDArray[np.intp]:
    """Return indexes into a side that is mirrored beyond its ends: -1 becomes 0, -2 becomes 1."""
    period = places % (2 * side)
    return np.minimum(period, 2 * side - 1 - period)


def _as_pixels(values: Floats) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
