"""Proves that a device multiplies in full float32, by products whose exact results are known.

GPUs of NVIDIA's Ampere and later, and some processors, round the operands of a product to TF32's 10
or bfloat16's 7 bits of mantissa when they are allowed to, without a message. The operands here need
more bits than that, so rounding them changes the results. This module needs NumPy alone; the
caller brings the device's products.
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
"""Largest relative error of a convolution (root mean square). Direct sums of these operands are
exact. Winograd's and Fourier's algorithms, which libraries choose for some shapes, are off by up to
1e-6 in float32. TF32 is off by 2e-4, bfloat16 by 1.6e-3."""

SIDE = 256
"""Rows and columns of the matrices, enough for a library to take its fast path."""

CONVOLUTIONS = ((3, 1, 32, 32), (1, 1, 64, 64), (3, 2, 32, 32), (7, 2, 3, 64))
"""Kernel side, stride, input and output channels: the kinds that a ResNet50 has."""

PICTURES, PICTURE_SIDE = 2, 20

_FINE_BITS = 12
_MANTISSA_BITS = 23


class Products(Protocol):
    """Products on the device under test, computed as in the network."""

    def matrices(self, pairs: Sequence[Pair]) -> Sequence[Floats]:
        """Multiply ``(n, k)`` by ``(k, m)`` for every pair; all pairs have the same shapes."""

    def convolutions(self, pairs: Sequence[Pair], stride: int) -> Sequence[Floats]:
        """Convolve ``(n, h, w, c)`` with ``(side, side, c, f)``, no padding, for every pair."""


@dataclass(frozen=True)
class Float32Check:
    """Relative errors of known products (root mean square)."""

    matrices: float
    """0 in float32: every sum is exact, in any order."""
    convolutions: float

    @property
    def words(self) -> str:
        """The result in a sentence."""
        if self.convolutions == 0:
            return "known matrix products and convolutions came out exact to the bit"
        return (
            "known matrix products came out exact to the bit, convolutions within "
            f"{self.convolutions:.1e} (TF32 is off by 2e-04)"
        )


def check_float32(products: Products, device: str) -> Float32Check:
    """Multiply what TF32 and bfloat16 cannot hold, and compare with the exact results.

    Matrix products must be exact. The first pairs multiply ``(1 + k / 4096)`` by small integers. A
    sum of 256 such products needs 22 bits, so rounded operands and rounded sums both show. The
    second pairs multiply values with all 24 bits of float32 by a permutation matrix. They show
    operands that are split into parts of fewer bits. Each pair is also multiplied with its sides
    swapped, because libraries may round one side alone.

    Args:
        products: The device's products.
        device: The device's name, for the error.

    Returns:
        The largest relative errors.

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
        stride: Stride in both directions; there is no padding.

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
    """Return ``1 + k / 4096`` in [1, 2), half of them negative: two bits more than TF32 holds."""
    values = 1 + rng.integers(0, 1 << _FINE_BITS, shape) / (1 << _FINE_BITS)
    return np.asarray(values * rng.choice(np.array([-1.0, 1.0]), shape), np.float32)


def _coarse(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return integers from -2 to 2, which every float format holds."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def _error(got: Floats, exact: npt.NDArray[np.float64]) -> float:
    """Return the error's root mean square over the exact result's; NaN where anything is NaN."""
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
    """Return the bits of mantissa whose rounding gives this error.

    Values in [1, 2) have a root mean square of 1.53, and rounding them to ``b`` bits is off by
    ``2**-b / sqrt(12)``.
    """
    return round(-math.log2(error * 1.53 * math.sqrt(12)))
