"""The choices of a caller of the quantization. This module imports no heavy package."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FEWEST_PICTURES = 32
"""The extremes of fewer pictures say little about other pictures."""


class Level(StrEnum):
    """The amount of work for answers close to those of the float model."""

    FAST = "fast"
    """Ranges of the tensors only."""
    EQUALIZED = "equalized"
    """Equalisation, ranges without values that a ReLU discards, corrected biases. Seconds more."""
    DISTILLED = "distilled"
    """After that, learned rounding, and ranges, weights and biases trained against the float model.
    Minutes more."""
    TRAINED = "trained"
    """After that, trained with labels. Up to half an hour more."""

    @property
    def learns(self) -> bool:
        """True if weights are learned from pictures, so that more pictures are better."""
        return self in (Level.DISTILLED, Level.TRAINED)


class WeightGrid(StrEnum):
    """The integers that weights may be rounded to."""

    FULL = "8 bits"
    """-127 to 127."""
    PAIR_SAFE = "8 bits, neighbours of one sign together at most 128"
    """For x86 without VNNI. Its instruction ``vpmaddubsw`` adds two products of a uint8 and an int8
    in 16 bits, which saturate: 255 * (a + b) stays below 32768 if a + b is at most 128. The usual
    cure, seven bits for every weight, has four times the rounding noise. Bounding the sums of
    neighbours has 1.6 times, on a trained ResNet50."""


class Target(StrEnum):
    """The processor that int8.onnx is made for, and the weights that TFLite files share with it."""

    AUTO = "auto"
    """Any processor: safe without VNNI, and nowhere slower."""
    AVX2 = "avx2"
    """x86 without VNNI, which saturates: uint8 activations, pair-safe int8 weights."""
    VNNI = "vnni"
    """x86 with AVX-VNNI or AVX-512 VNNI: uint8 activations, full int8 weights."""
    ARM = "arm"
    """Arm with dot product: int8 activations and weights, which its instructions multiply."""

    @property
    def grid(self) -> WeightGrid:
        """The integers for weights."""
        safe = self in (Target.AUTO, Target.AVX2)
        return WeightGrid.PAIR_SAFE if safe else WeightGrid.FULL

    @property
    def reason(self) -> str:
        """The choice and its reason, in a sentence."""
        match self:
            case Target.VNNI:
                return "U8S8 with full 8-bit weights: VNNI sums in 32 bits; wrong on x86 without it"
            case Target.ARM:
                return "S8S8 with full 8-bit weights: what Arm's dot product takes; wrong on AVX2"
            case _:
                return (
                    "U8S8, weights bounded in pairs: x86 without VNNI sums pairs in 16 bits, which "
                    "cannot saturate so; right on every processor"
                )


@dataclass(frozen=True)
class QuantizationSettings:
    """Settings of the quantization."""

    level: Level = Level.EQUALIZED
    keep_float: tuple[str, ...] = ()
    """Keras layers that compute in float, as globs: ``conv5_*``."""
    grid: WeightGrid = WeightGrid.FULL
    """Integers for the weights of all files."""
    few_pictures: bool = False
    """True to accept fewer than ``FEWEST_PICTURES`` pictures."""
