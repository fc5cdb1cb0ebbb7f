"""A network and how it is to be rounded: the result of calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from converters.quantization.bias_correction import FloatOutputs, correct_biases
from converters.quantization.calibration_sample import sample_pictures
from converters.quantization.scheme import Scheme
from converters.quantization.tflite_network import Parameters, TfliteNetwork

Progress = Callable[[str, int, int, str], None]
"""A function that gets the stage, the number done, the total, and the figures so far in words."""


@dataclass(frozen=True)
class EqualizationFigures:
    """Figures of the choice at level ``equalized`` or ``distilled``, for sidecar and report."""

    strength: float
    """Strength of the equalisation, in [0, 1]."""
    held_out_sqnr_db: float
    """SQNR of simulated centred logits, mean over the held-out calibration pictures."""
    held_out: int
    """Number of held-out pictures."""
    groups: int


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
    level ``fast``, which corrects no bias."""
    notes: tuple[str, ...] = ()
    """What differs from the settings because of the network's operators, in sentences."""

    def corrected(self, pictures: np.ndarray, scheme: Scheme, activation_bits: int = 8) -> Scheme:
        """Return another scheme for the same weights, with biases that fit its rounding.

        Args:
            pictures: The calibration pictures of this network.
            scheme: A scheme in the same channel scales.
            activation_bits: See ``converters.quantization.bias_correction.correct_biases``.
        """
        if self.float_outputs is None:
            return scheme
        sample = sample_pictures(self.network, pictures).pictures
        return correct_biases(
            self.network, scheme, self.float_outputs, sample, activation_bits=activation_bits
        )[0]
