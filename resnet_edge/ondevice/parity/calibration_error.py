"""Expected calibration error: how far an artifact's confidence is from its accuracy.

The confidence of an answer is the probability of the most probable class. Pictures are put into
bins by it; the ECE is the mean over the pictures of |confidence - accuracy| of their bin (M. P.
Naeini et al., AAAI 2015; C. Guo et al., "On calibration of modern neural networks", ICML 2017).

Bins hold equally many pictures, because equal widths leave most bins of a good network nearly empty
and their chance as error (R. Roelofs et al., "Mitigating bias in calibration error estimation",
AISTATS 2022). Few pictures still make an ECE too large: a well calibrated network has one above 0.
``noise_floor`` says how large; in the difference of two ECEs on the same pictures most of it is
gone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from resnet_edge.ondevice.measurements import ArtifactParity, Interval
from resnet_edge.ondevice.parity.answers import unpack_bits, unpack_shares
from resnet_edge.ondevice.parity.metrics import Booleans, Floats, Integers

MOST_BINS = 10
FEWEST_BINS = 5
PICTURES_PER_BIN = 200
"""With fewer the chance in each bin hides what is looked for (``benchmarks/report_power.py``)."""

BEYOND_DOUBT = 4.0
"""Standard errors; a sign chosen at fewer would be chosen for its chance."""

ROUNDING = 1e-12
"""A smaller gap is none, so that the order of a sum decides nothing."""


@dataclass(frozen=True)
class Answered:
    """The answers of one side."""

    confidence: Floats
    """(n,), in [0, 1]."""
    right: Floats
    """(n,), 1 where the answer is right."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The pictures of one bin: a point of the reliability diagram."""

    pictures: int
    confidence: float
    """Their mean confidence."""
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """The calibration of one side."""

    ece: float
    mean_confidence: float
    bins: tuple[ReliabilityBin, ...]
    noise_floor: float
    """The ECE that is to be expected of perfect calibration, by the chance of so many pictures."""


@dataclass(frozen=True)
class CalibrationChange:
    """The calibration of an artifact and its reference on the same pictures."""

    artifact: Calibration
    reference: Calibration
    increase: float
    """Of the ECE."""
    interval: Interval
    """Of the increase, paired."""
    confidence_change: float
    """Mean confidence of the artifact minus the reference's."""
    confidence_interval: Interval


def calibration_of(parity: ArtifactParity, confidence: float) -> CalibrationChange | None:
    """Return the calibration of a recorded artifact; None where its record does not hold it.

    Args:
        parity: The record.
        confidence: Two-sided, of both intervals.
    """
    answers, kept = parity.answers, parity.probabilities
    if answers is None or kept is None or not parity.images:
        return None
    artifact = Answered(
        unpack_shares(kept.confidence), unpack_bits(answers.right, parity.images).astype(float)
    )
    reference = Answered(
        unpack_shares(kept.reference_confidence),
        unpack_bits(answers.reference_right, parity.images).astype(float),
    )
    return compare_calibration(artifact, reference, confidence)


def compare_calibration(
    artifact: Answered, reference: Answered, confidence: float
) -> CalibrationChange:
    """Compare two sides on the same pictures.

    An ECE is a mean of signed gaps, s (confidence - right), where s is the sign of the bin's gap.
    So the difference of two ECEs on the same pictures is the mean of one number per picture, and
    its standard error is that of a mean. Two things are added:

    * Signs are estimates. For *any* signs t the ECE is at least the mean of t (confidence - right),
      so a bound holds where the signs of one side are right, whatever the other side's are. Where
      the pictures do not tell the sign of a bin, the worse one for the bound is taken, and the
      other side takes the same, so that what both have in common is gone; it keeps its own only
      where that is beyond doubt.
    * Where no answer differs the standard error is near 0, and the next picture may still differ.
      The width is never below that of the score interval without any difference.

    Args:
        artifact: The answers of one side, at least one.
        reference: Those of the other, in the same order.
        confidence: Two-sided, in (0, 1).
    """
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    ours, theirs = _Binned(artifact), _Binned(reference)
    measured = ours.signed_gaps(ours.signs) - theirs.signed_gaps(theirs.signs)
    increase = float(measured.mean())
    low = max(increase - _width(measured, quantile), -_upper_bound(theirs, ours, quantile))
    high = _upper_bound(ours, theirs, quantile)
    change = artifact.confidence - reference.confidence
    shift, half = float(change.mean()), quantile * _error(change)
    return CalibrationChange(
        artifact=ours.summary(),
        reference=theirs.summary(),
        increase=increase,
        interval=Interval(min(low, increase), max(high, increase), confidence),
        confidence_change=shift,
        confidence_interval=Interval(shift - half, shift + half, confidence),
    )


def count_bins(pictures: int) -> int:
    """Return the number of bins for so many pictures."""
    return max(1, min(MOST_BINS, max(FEWEST_BINS, pictures // PICTURES_PER_BIN), pictures))


class _Binned:
    """One side's pictures in bins of equally many; equal confidences are in one bin."""

    def __init__(self, side: Answered) -> None:
        self._side = side
        self.gaps: Floats = side.confidence - side.right
        bins = count_bins(len(self.gaps))
        ordered = np.sort(side.confidence)
        cuts = ordered[np.arange(1, bins) * len(ordered) // bins]
        self.of: Integers = np.searchsorted(cuts, side.confidence, side="right")
        self._counts = np.bincount(self.of, minlength=bins)
        self.signs = _sign(self.mean(self.gaps))

    def mean(self, values: Floats) -> Floats:
        """Return the mean of each bin; 0 in an empty one."""
        sums = np.bincount(self.of, values, minlength=len(self._counts))
        means: Floats = sums / np.maximum(self._counts, 1)
        return means

    def signed_gaps(self, signs: Floats) -> Floats:
        """Return each picture's gap with the sign of its bin."""
        signed: Floats = signs[self.of] * self.gaps
        return signed

    def clear(self, quantile: float) -> Booleans:
        """Return True for the bins whose sign the pictures tell."""
        gap = self.mean(self.gaps)
        variance = np.maximum(self.mean(self.gaps**2) - gap**2, 0)
        error = np.sqrt(variance / np.maximum(self._counts, 1))
        clear: Booleans = np.abs(gap) > quantile * error + ROUNDING
        return clear

    def summary(self) -> Calibration:
        confidence, accuracy = self.mean(self._side.confidence), self.mean(self._side.right)
        weights = self._counts / len(self.gaps)
        chance = confidence * (1 - confidence) / np.maximum(self._counts, 1)
        return Calibration(
            ece=float((weights * np.abs(confidence - accuracy)).sum()),
            mean_confidence=float(self._side.confidence.mean()),
            bins=tuple(
                ReliabilityBin(*point)
                for point in zip(self._counts.tolist(), confidence.tolist(), accuracy.tolist())
                if point[0]
            ),
            # The mean of |x| of a normal x with this variance.
            noise_floor=float((weights * np.sqrt(2 / math.pi * chance)).sum()),
        )


def _upper_bound(one: _Binned, other: _Binned, quantile: float) -> float:
    """Return an upper bound of the ECE of ``one`` minus that of ``other``."""
    known = other.clear(BEYOND_DOUBT)
    opposed = one.mean(known[other.of].astype(float)) > 0.5
    moved = _sign(one.mean(one.gaps - other.gaps))
    signs = np.where(one.clear(quantile) | opposed, one.signs, moved)
    same = np.where(known, other.signs, _sign(other.mean(signs[one.of])))
    differences = one.signed_gaps(signs) - other.signed_gaps(same)
    return float(differences.mean()) + _width(differences, quantile)


def _width(values: Floats, quantile: float) -> float:
    """Return half the width of the mean's interval, with room for answers that may yet differ."""
    least = quantile**2 / (len(values) + quantile**2)
    return math.hypot(quantile * _error(values), least)


def _error(values: Floats) -> float:
    """Return the standard error of the mean; of a single value the largest there can be."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 1.0


def _sign(values: Floats) -> Floats:
    return np.where(values < -ROUNDING, -1.0, 1.0)
