"""Held-out pictures that decide which of two roundings of a network is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from converters.quantization.answer_metrics import mean_sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.integer_simulation import simulate
from converters.quantization.scheme import Scheme
from converters.quantization.tensorflow_execution import batches, centred_logits
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import TfliteNetwork

HELD_OUT = 0.15
"""Part of the pictures that nothing is learned from."""


def hold_out(order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide pictures into those that examine and those to learn from, both in ascending order.

    Args:
        order: Their indices at random, ``(count,)``. A single picture does both.
    """
    count = max(1, round(HELD_OUT * len(order)))
    return np.sort(order[:count]), np.sort(order[count:] if count < len(order) else order)


@dataclass(frozen=True)
class Exam:
    """Pictures with the float network's answers."""

    network: TfliteNetwork
    pictures: np.ndarray
    """Raw RGB, uint8 ``(count, height, width, 3)``."""
    logits: np.ndarray
    """Centred, float32 ``(count, classes)``."""

    @classmethod
    def of(
        cls, network: TfliteNetwork, teacher: Callable[[Tensor], Tensor], pictures: np.ndarray
    ) -> Exam:
        """Let the teacher, the float network, answer the pictures."""
        answers = [teacher(batch).numpy() for batch in batches(network, pictures)]
        return cls(network, pictures, np.concatenate(answers))

    def sqnr_db(self, scheme: Scheme) -> float:
        """Return the mean SQNR of the network exactly as it would be written, in decibels."""
        logits = simulate(self.network, scheme, self.pictures)
        return mean_sqnr_db(self.logits, centred_logits(self.network, logits).numpy())


def passed(
    calibrated: CalibratedNetwork, scheme: Scheme, sqnr_db: float, exam: Exam
) -> CalibratedNetwork:
    """Return the network with the scheme that did best, and its figures."""
    figures = calibrated.figures
    if figures is not None:
        figures = replace(figures, held_out_sqnr_db=sqnr_db, held_out=len(exam.pictures))
    return replace(calibrated, scheme=scheme, figures=figures)
