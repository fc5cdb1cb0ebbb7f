"""A network and how it is to be rounded: the result of calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from converters.quantization.bias_correction import (
    FloatOutputs,
    correct_biases,
    measure_float_outputs,
)
from converters.quantization.calibration_sample import sample_pictures
from converters.quantization.scheme import Scheme
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import Parameters, TfliteNetwork

Progress = Callable[[str, int, int, str], None]
"""A function that gets the stage, the number done, the total, and the figures so far in words."""


@dataclass(frozen=True)
class EqualizationFigures:
    """Figures of the choice at level ``equalized`` or ``distilled``, for sidecar and report."""

    strength: float | None
    """Strength of the equalisation, in [0, 1]; None for scales with the least noise."""
    held_out_sqnr_db: float
    """SQNR of the simulated centred logits of held-out pictures, mean of the pictures' own."""
    held_out: int
    """Number of held-out pictures."""
    groups: int
    ranges: str = "extremes"
    """``extremes`` or ``least error``, ``with margins`` where they have some."""
    corrects: bool = True
    """True if biases are corrected."""


def equalisation_words(strength: float | None) -> str:
    """Return the way to channel scales in words."""
    return "least noise" if strength is None else f"strength {strength:g}"


@dataclass(frozen=True)
class HeldOutAnswers:
    """Simulated answers for held-out pictures, beside the float network's."""

    sqnr_db: float
    """SQNR of the centred logits, mean of the pictures' own."""
    agreement: float
    """Share of pictures with the same best class, in [0, 1]."""
    pictures: int


@dataclass(frozen=True)
class FloatFallback:
    """Layers that went to float because 8 bits did not hold the answers."""

    layers: tuple[str, ...]
    """In graph order."""
    operations: frozenset[int]
    """Their operators, by index."""
    integer: HeldOutAnswers
    """The answers without them."""
    mixed: HeldOutAnswers
    """The answers with them."""
    more_bytes: int
    """Bytes by which their weights are larger in float32, as ``int8.onnx`` stores them."""
    multiply_adds: float
    """Their share of the network's multiply-adds, in [0, 1]."""
    has_float_weights: bool = False
    """True if ``int8.tflite`` stores them in float32 too, since 8 bits are too coarse for them."""


@dataclass(frozen=True)
class Examined:
    """Answers to pictures of known classes."""

    cross_entropy: float
    """Mean, in nats."""
    top1: float
    """Share of pictures, in [0, 1]."""


@dataclass(frozen=True)
class TrainingFigures:
    """What training with labels gained on the validation pictures."""

    before: Examined
    after: Examined
    pictures: int


@dataclass(frozen=True)
class CalibratedNetwork:
    """A network and how it is to be rounded."""

    network: TfliteNetwork
    scheme: Scheme
    float_parameters: Mapping[int, Parameters]
    """Weights of the float function in the scheme's channel scales, by index of the operator."""
    unstable: tuple[str, ...] = ()
    """Layers whose range differs by more than ``UNSTABLE`` between halves of the pictures."""
    figures: EqualizationFigures | None = None
    """None at level ``fast``, which chooses nothing."""
    float_outputs: FloatOutputs | None = None
    """Values of the float network for ``sample_pictures``, in the scheme's channel scales; None at
    level ``fast``, which corrects no bias, and where corrected biases are no better."""
    wide_ranges: Mapping[int, Range] | None = None
    """Ranges for 16-bit activations, which need not clip; None takes those of the scheme."""
    notes: tuple[str, ...] = ()
    """What differs from the settings because of the network's operators, in sentences."""
    fallback: FloatFallback | None = None
    """Layers of the scheme that are in float because 8 bits did not hold the answers."""
    training: TrainingFigures | None = None
    """None below level ``trained``."""
    trained_outputs: FloatOutputs | None = None
    """Values of the trained network as it is rounded in LiteRT, which other roundings of the same
    weights should keep; None where nothing was trained with labels."""

    def without_fallback(self) -> Scheme:
        """Return the scheme with only those operators in float that other reasons keep there."""
        if self.fallback is None:
            return self.scheme
        kept = self.scheme.float_operations - self.fallback.operations
        return replace(self.scheme, float_operations=kept, weight_only=frozenset())

    def measured_on(self, pictures: np.ndarray) -> CalibratedNetwork:
        """Return the network with the float values of these calibration pictures."""
        if self.float_outputs is None:
            return self
        sample = sample_pictures(self.network, pictures).pictures
        outputs = measure_float_outputs(self.network, sample, self.float_parameters)
        return replace(self, float_outputs=outputs)

    def corrected(self, pictures: np.ndarray, scheme: Scheme, activation_bits: int = 8) -> Scheme:
        """Return another scheme for the same weights, with biases that fit its rounding.

        Args:
            pictures: The calibration pictures of this network.
            scheme: A scheme in the same channel scales.
            activation_bits: See ``converters.quantization.bias_correction.correct_biases``.
        """
        if self.float_outputs is None:
            return scheme
        kept = self.float_outputs
        if self.trained_outputs is not None and activation_bits == 8:  # 16 bits keep float weights
            kept = self.trained_outputs
        sample = sample_pictures(self.network, pictures).pictures
        return correct_biases(self.network, scheme, kept, sample, activation_bits=activation_bits)
