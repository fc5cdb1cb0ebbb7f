"""Held-out pictures that decide which of two roundings of a network is better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.quantization.answer_metrics import mean_sqnr_db
from converters.quantization.integer_simulation import simulate
from converters.quantization.scheme import Scheme
from converters.quantization.student import teacher_of
from converters.quantization.tensorflow_execution import batches, centred_logits
from converters.quantization.tflite_network import TfliteNetwork


@dataclass(frozen=True)
class Exam:
    """Pictures with the float network's answers."""

    network: TfliteNetwork
    pictures: np.ndarray
    """Raw RGB, uint8 ``(count, height, width, 3)``."""
    logits: np.ndarray
    """Centred, float32 ``(count, classes)``."""

    @classmethod
    def of(cls, network: TfliteNetwork, pictures: np.ndarray) -> Exam:
        """Let the float network answer the pictures."""
        answer = teacher_of(network)
        answers = [answer(batch).numpy() for batch in batches(network, pictures)]
        return cls(network, pictures, np.concatenate(answers))

    def sqnr_db(self, scheme: Scheme) -> float:
        """Return the mean SQNR of the network exactly as it would be written, in decibels."""
        logits = simulate(self.network, scheme, self.pictures)
        return mean_sqnr_db(self.logits, centred_logits(self.network, logits).numpy())
