from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.errors import InferenceError
from resnet_edge.full_precision.float32_proof import (
    LIMIT,
    Float32Check,
    Floats,
    Pair,
    check_float32,
    convolve,
)

Rounding = Callable[[Floats], Floats]


def nearest(bits: int) -> Rounding:
    """Round float32 to so many bits of mantissa, ties to even, as hardware does."""
    drop = 23 - bits

    def shorten(values: Floats) -> Floats:
        raw = values.view(np.uint32).astype(np.uint64)
        half = (np.uint64(1) << np.uint64(drop - 1)) - np.uint64(1)
        odd = (raw >> np.uint64(drop)) & np.uint64(1)
        kept = ((raw + half + odd) >> np.uint64(drop)) << np.uint64(drop)
        return kept.astype(np.uint32).view(np.float32)

    return shorten


def cut(bits: int) -> Rounding:
    """Drop all but so many bits of mantissa."""
    mask = np.uint32(0xFFFFFFFF << (23 - bits) & 0xFFFFFFFF)
    return lambda values: (values.view(np.uint32) & mask).view(np.float32)


def keep(values: Floats) -> Floats:
    return values


TF32, BFLOAT16 = nearest(10), nearest(7)


@dataclass(frozen=True)
class Simulated:
    """A device that shortens what it multiplies, and sums in float32."""

    left: Rounding = keep
    right: Rounding = keep
    conv_left: Rounding = keep
    conv_right: Rounding = keep
    after: Rounding = keep
    """The change that it makes to the result, for instance a float16 output."""

    def matrices(self, pairs: Sequence[Pair]) -> Sequence[Floats]:
        return [self.after(self.left(a) @ self.right(b)) for a, b in pairs]

    def convolutions(self, pairs: Sequence[Pair], stride: int) -> Sequence[Floats]:
        return [
            self.after(convolve(self.conv_left(a), self.conv_right(b), stride).astype(np.float32))
            for a, b in pairs
        ]


def everywhere(rounding: Rounding) -> Simulated:
    return Simulated(rounding, rounding, rounding, rounding)


def test_the_rounding_itself_by_hand():
    one = np.array([1 + 2**-12, 1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11], np.float32)
    assert TF32(one).tolist() == [1, 1 + 2**-10, 1, 1 + 2**-9]
    assert cut(10)(one).tolist() == [1, 1 + 2**-10, 1, 1 + 2**-10]
    assert BFLOAT16(np.float32([1 + 2**-7, 1 + 2**-9])).tolist() == [1 + 2**-7, 1]


def test_a_convolution_by_hand():
    pictures = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    kernel = np.float32([[1, 0], [0, -1]]).reshape(2, 2, 1, 1)
    assert convolve(pictures, kernel, 1)[0, :, :, 0].tolist() == [[-5] * 3] * 3
    assert convolve(pictures, kernel, 2).shape == (1, 2, 2, 1)


def test_float32_is_exact_in_whatever_order_it_sums():
    assert check_float32(Simulated(), "CPU") == Float32Check(0.0, 0.0)

    class Backwards(Simulated):
        def matrices(self, pairs):
            return [
                sum(
                    (np.outer(a[:, k], b[k]) for k in reversed(range(a.shape[1]))),
                    np.zeros((a.shape[0], b.shape[1]), np.float32),
                )
                for a, b in pairs
            ]

    assert check_float32(Backwards(), "CPU").matrices == 0


@pytest.mark.parametrize(
    ("rounding", "bits"), [(TF32, 10), (cut(10), 9), (BFLOAT16, 7)], ids=["tf32", "cut", "bf16"]
)
def test_tf32_and_bfloat16_are_refused(rounding, bits):
    with pytest.raises(InferenceError) as caught:
        check_float32(everywhere(rounding), "GPU: NVIDIA A10")
    message = str(caught.value)
    assert message.startswith("GPU: NVIDIA A10: a matrix product is off by ")
    assert f"is rounded to about {bits} bits of 23 (TF32 has 10, bfloat16 7); expected" in message
    assert message.endswith(
        "expected a reference in full float32, which gives it exactly; unset XLA_FLAGS, "
        "ONEDNN_DEFAULT_FPMATH_MODE and the like, choose another KERAS_BACKEND, or compute on the "
        "processor with CUDA_VISIBLE_DEVICES=-1"
    )


@pytest.mark.parametrize("side", ["conv_left", "conv_right"])
def test_convolutions_alone_in_tf32(side):
    """PyTorch's default: cuDNN's convolutions in TF32, matrix products in float32."""
    with pytest.raises(InferenceError, match=r"^GPU: a convolution is off by [12]\.\de-04 of its "):
        check_float32(Simulated(**{side: TF32}), "GPU")


@pytest.mark.parametrize("side", ["left", "right"])
@settings(deadline=None, max_examples=22)
@given(bits=st.integers(1, 22), whole=st.booleans())
def test_one_operand_with_any_bit_less_is_refused(side, bits, whole):
    """Also float32 put together from two or three shorter pieces that leave a bit out."""
    rounding = nearest(bits) if whole else cut(bits)
    with pytest.raises(InferenceError, match=r"a matrix product is off by .* expected a refere"):
        check_float32(Simulated(**{side: rounding}), "GPU")


@pytest.mark.parametrize("bits", range(1, 12))
def test_convolutions_with_at_most_eleven_bits_are_refused(bits):
    both = Simulated(conv_left=nearest(bits), conv_right=nearest(bits))
    with pytest.raises(InferenceError, match=r"a convolution is off by "):
        check_float32(both, "GPU")


def test_results_in_half_the_bits_are_refused():
    with pytest.raises(InferenceError, match=r"a matrix product is off by "):
        check_float32(Simulated(after=TF32), "GPU")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_number_never_passes(bad):
    def spoil(values: Floats) -> Floats:
        values = values.copy()
        values.flat[0] = bad
        return values

    with pytest.raises(InferenceError, match=r"a matrix product is not a number or of another sh"):
        check_float32(Simulated(after=spoil), "GPU")
    spoiled = Simulated(conv_left=lambda values: values * np.float32(bad))
    with np.errstate(invalid="ignore"), pytest.raises(InferenceError, match=r"a convolution is no"):
        check_float32(spoiled, "GPU")


def test_another_shape_never_passes():
    with pytest.raises(
        InferenceError, match=r"of another shape; expected .*; the device or its dr"
    ):
        check_float32(Simulated(after=lambda values: values[:1]), "GPU")


# Winograd's F(4x4, 3x3), with the matrices of Lavin and Gray (arXiv:1509.09308), in float32
INPUT = np.float32(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
KERNEL = np.float32(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
OUTPUT = np.float32(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)


def winograd(pictures: Floats, kernel: Floats, rounding: Rounding) -> Floats:
    count, height, width, _ = pictures.shape
    answer = np.empty((count, height - 2, width - 2, kernel.shape[3]), np.float32)
    u = np.einsum("ai,ijcf,bj->abcf", KERNEL, kernel, KERNEL, dtype=np.float32)
    for y in range(0, height - 2, 4):
        for x in range(0, width - 2, 4):
            y, x = min(y, height - 6), min(x, width - 6)
            tile = pictures[:, y : y + 6, x : x + 6]
            v = np.einsum("ai,nijc,bj->nabc", INPUT, tile, INPUT, dtype=np.float32)
            m = np.einsum("nabc,abcf->nabf", rounding(v), rounding(u), dtype=np.float32)
            answer[:, y : y + 4, x : x + 4] = np.einsum(
                "ia,nabf,jb->nijf", OUTPUT, m, OUTPUT, dtype=np.float32
            )
    return answer


@pytest.mark.parametrize("rounding", [keep, TF32], ids=["float32", "tf32"])
def test_winograds_way_passes_in_float32_only(rounding):
    class Winograd(Simulated):
        def convolutions(self, pairs, stride):
            if stride == 1 and pairs[0][1].shape[0] == 3:
                return [winograd(*pair, rounding) for pair in pairs]
            return super().convolutions(pairs, stride)

    if rounding is TF32:
        with pytest.raises(InferenceError, match="a convolution is off by"):
            check_float32(Winograd(), "GPU")
    else:
        found = check_float32(Winograd(), "GPU")
        assert 0 < found.convolutions < LIMIT / 4
        assert found.words.startswith(
            "known matrix products came out exact to the bit, convolutions within "
        )
