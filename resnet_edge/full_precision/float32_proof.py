"""Proves that a device multiplies in full float32, by products whose exact results are known.

GPUs of NVIDIA's Ampere and later, and some processors, shorten what they multiply to TF32's 10 or
bfloat16's 7 bits of mantissa when they are allowed to, and say nothing. Here the operands need
more bits than that, so whoever shortens them gives himself away. NumPy alone: the products are
handed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import InferenceError

Floats = npt.NDArray[np.float32]
Pair = tuple[Floats, Floats]

LIMIT = 2.0**-16
"""Largest error of a convolution, as a share of the answers' size (root mean square). Direct sums
of these operands are exact. Winograd's and Fourier's ways, which libraries take for some shapes,
are not, by up to 1e-6 in float32. Operands in TF32 are off by 2e-4, in bfloat16 by 1.6e-3."""

SIDE = 256
"""Rows and columns of the matrices: large enough for a library's fast path."""

CONVOLUTIONS = ((3, 1, 32, 32), (1, 1, 64, 64), (3, 2, 32, 32), (7, 2, 3, 64))
"""Kernel side, stride, channels in and out: the kinds that a ResNet50 has."""

PICTURES, PICTURE_SIDE = 2, 20

_FINE_BITS = 12
_MANTISSA_BITS = 23


class Products(Protocol):
    """Multiplies on the device under test, the way that the network will be computed."""

    def matrices(self, pairs: Sequence[Pair]) -> Sequence[Floats]:
        """Multiply ``(n, k)`` by ``(k, m)`` for every pair; all pairs have the same shapes."""

    def convolutions(self, pairs: Sequence[Pair], stride: int) -> Sequence[Floats]:
        """Convolve ``(n, h, w, c)`` with ``(side, side, c, f)``, no padding, for every pair."""


@dataclass(frozen=True)
class Float32Check:
    """How far known products were off; both are shares of the answers' size."""

    matrices: float
    """0 in float32: every sum here is exact, in whatever order it is taken."""
    convolutions: float

    @property
    def words(self) -> str:
        """What was proven, in words."""
        if self.convolutions == 0:
            return "known matrix products and convolutions came out exact to the bit"
        return (
            "known matrix products came out exact to the bit, convolutions within "
            f"{self.convolutions:.1e} (TF32 is off by 2e-04)"
        )


def check_float32(products: Products, device: str) -> Float32Check:
    """Multiply what TF32 and bfloat16 cannot hold, and compare with the exact results.

    Matrices must come out exact. First ``(1 + k / 4096)`` by small integers, so that a sum of 256
    products needs 22 bits at most: it shows shortened operands and shortened sums. Then all 24
    bits of float32 by a permutation matrix: it shows operands that are split into fewer bits.
    Each way round, because libraries may shorten one side alone.

    Args:
        products: Multiplies on the device.
        device: Named in the error.

    Returns:
        The errors found.

    Raises:
        InferenceError: The device rounds, or answers NaN.
    """
    rng = np.random.default_rng(0)
    pairs = _matrix_pairs(rng)
    found = [
        _error(got, left.astype(np.float64) @ right.astype(np.float64))
        for got, (left, right) in zip(products.matrices(pairs), pairs, strict=True)
    ]
    matrices = max(found, key=_badness)
    if matrices != 0:
        raise InferenceError(_message(device, "a matrix product", matrices, "exactly"))
    found = []
    for side, stride, inputs, outputs in CONVOLUTIONS:
        pairs = _convolution_pairs(rng, side, inputs, outputs)
        answers = products.convolutions(pairs, stride)
        found += [
            _error(got, convolve(*pair, stride)) for got, pair in zip(answers, pairs, strict=True)
        ]
    worst = max(found, key=_badness)
    if not worst <= LIMIT:
        raise InferenceError(_message(device, "a convolution", worst, f"to {LIMIT:.1e}"))
    return Float32Check(matrices, worst)


def convolve(pictures: Floats, kernel: Floats, stride: int) -> npt.NDArray[np.float64]:
    """Convolve in float64, which is exact for the operands here.

    Args:
        pictures: ``(n, h, w, c)``.
        kernel: ``(side, side, c, f)``.
        stride: Of both directions; there is no padding.

    Returns:
        ``(n, h', w', f)``.
    """
    side = kernel.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(
        pictures.astype(np.float64), (side, side), axis=(1, 2)
    )[:, ::stride, ::stride]
    result: npt.NDArray[np.float64] = np.einsum(
        "nxycij,ijcf->nxyf", windows, kernel.astype(np.float64), optimize=True
    )
    return result


def _matrix_pairs(rng: np.random.Generator) -> list[Pair]:
    shape = (SIDE, SIDE)
    fine, coarse = _fine(rng, shape), _coarse(rng, shape)
    full = rng.integers(1 << _MANTISSA_BITS, 2 << _MANTISSA_BITS, shape) / (1 << _MANTISSA_BITS)
    signs = rng.choice(np.array([-1.0, 1.0]), (SIDE, 1))
    shuffled = (np.eye(SIDE)[rng.permutation(SIDE)] * signs).astype(np.float32)
    full = full.astype(np.float32)
    return [(fine, coarse), (coarse, fine), (full, shuffled), (shuffled, full)]


def _convolution_pairs(
    rng: np.random.Generator, side: int, inputs: int, outputs: int
) -> list[Pair]:
    pictures = (PICTURES, PICTURE_SIDE, PICTURE_SIDE, inputs)
    kernel = (side, side, inputs, outputs)
    return [
        (_fine(rng, pictures), _coarse(rng, kernel)),
        (_coarse(rng, pictures), _fine(rng, kernel)),
    ]


def _fine(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Values ``1 + k / 4096`` in [1, 2), half of them negative: two bits more than TF32 holds."""
    values = 1 + rng.integers(0, 1 << _FINE_BITS, shape) / (1 << _FINE_BITS)
    return np.asarray(values * rng.choice(np.array([-1.0, 1.0]), shape), np.float32)


def _coarse(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Integers from -2 to 2, which every format holds."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def _error(got: Floats, exact: npt.NDArray[np.float64]) -> float:
    """Root mean square of the error over that of the exact result; NaN where anything is NaN."""
    if got.shape != exact.shape:
        return math.nan
    with np.errstate(invalid="ignore", over="ignore"):
        wrong = np.linalg.norm((got.astype(np.float64) - exact).ravel())
    return float(wrong / np.linalg.norm(exact.ravel()))


def _badness(error: float) -> float:
    return math.inf if math.isnan(error) else error


def _message(device: str, what: str, error: float, expected: str) -> str:
    if not math.isfinite(error):
        fault = "is not a number or of another shape"
        advice = "the device or its driver is broken"
    else:
        fault = f"is off by {error:.1e} of its size: what is multiplied is rounded"
        fault += f" to about {_bits_left(error)} bits of 23 (TF32 has 10, bfloat16 7)"
        advice = "unset XLA_FLAGS, ONEDNN_DEFAULT_FPMATH_MODE and the like"
    return (
        f"{device}: {what} {fault}; expected a reference in full float32, which gives it "
        f"{expected}; {advice}, choose another KERAS_BACKEND, or compute on the processor with "
        "CUDA_VISIBLE_DEVICES=-1"
    )


def _bits_left(error: float) -> int:
    """Bits of a mantissa whose rounding gives this error: values in [1, 2) are 1.53 on average
    (root mean square), and rounding to ``b`` bits is off by ``2**-b / sqrt(12)``.
    """
    return round(-math.log2(error * 1.53 * math.sqrt(12)))
