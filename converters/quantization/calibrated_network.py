"""A network with everything that was decided about its rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from converters.quantization.bias_correction import FloatOutputs, correct_biases
from converters.quantization.calibration_sample import sample_pictures
from converters.quantization.scheme import Scheme
from converters.quantization.tflite_network import Parameters, TfliteNetwork

Progress = Callable[[str, int, int, str], None]
"""Gets what is being done, how much is done, of how much, and the figures so far in words."""


@dataclass(frozen=True)
class EqualizationFigures:
    """How an equalized or distilled quantization was chosen, for the sidecar and the report."""

    strength: float
    """Of the equalisation, in [0, 1]."""
    held_out_sqnr_db: float
    """Of simulated centred logits, the mean over held-out calibration pictures."""
    held_out: int
    """How many pictures those were."""
    groups: int


@dataclass(frozen=True)
class CalibratedNetwork:
    """A network and how it is to be rounded."""

    network: TfliteNetwork
    scheme: Scheme
    float_parameters: Mapping[int, Parameters]
    """The float function in the scheme's channel scales: what the scheme's weights stand for."""
    unstable: tuple[str, ...] = ()
    """Layers whose range differs by more than ``UNSTABLE`` between halves of the pictures."""
    figures: EqualizationFigures | None = None
    """None at level ``fast``, which has no choice."""
    float_outputs: FloatOutputs | None = None
    """What the float network computes for ``sample_pictures``, in the scheme's channel scales; None
    at level ``fast``, which corrects nothing."""

    def corrected(self, pictures: np.ndarray, scheme: Scheme, activation_bits: int = 8) -> Scheme:
        """Another scheme for the same weights, with biases that fit what it rounds.

        Args:
            pictures: Those that this was calibrated with.
            scheme: In the same channel scales.
            activation_bits: See ``converters.quantization.bias_correction.correct_biases``.
        """
        if self.float_outputs is None:
            return scheme
        sample = sample_pictures(self.network, pictures).pictures
        return correct_biases(
            self.network, scheme, self.float_outputs, sample, activation_bits=activation_bits
        )[0]
