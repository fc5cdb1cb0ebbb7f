"""Confidence interval of the difference between two accuracies on the same pictures.

The two models see the same pictures, so only the pictures on which one is right and the other wrong
tell them apart; comparing two separate accuracies would need many times as many.

Method: the score interval of T. Tango, "Equivalence test and confidence interval for the difference
in proportions for the paired-sample design", Statistics in Medicine 17 (1998), 891-908. It inverts
the score test of a given difference, keeps its coverage with few pictures, and stays sound where
the two models never differ (a bootstrap or a Wald interval has width 0 there).
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

from resnet_edge.ondevice.measurements import Interval

MAX_PICTURES = 10_000_000
"""``images_needed`` gives up beyond this."""

_HALVINGS = 60  # 2 / 2^60 is below the spacing of doubles near 1


def accuracy_interval(
    gained: float, lost: float, pairs: float, confidence: float = 0.90
) -> Interval:
    """Return Tango's score interval of (accuracy of the artifact - accuracy of the reference).

    Args:
        gained: Pictures that the artifact has right and the reference wrong.
        lost: Pictures that the reference has right and the artifact wrong.
        pairs: All pictures. The counts may be fractions, which planning needs.
        confidence: Two-sided, in (0, 1); each bound alone holds with (1 + confidence) / 2.

    Returns:
        Bounds as shares in [-1, 1].

    Raises:
        ValueError: The counts are not 0 <= gained + lost <= pairs with pairs > 0, or the
            confidence is not between 0 and 1.
    """
    if not (gained >= 0 and lost >= 0 and pairs > 0 and gained + lost <= pairs * (1 + 1e-12)):
        raise ValueError(
            f"{gained} gained and {lost} lost of {pairs} pairs; "
            "expected counts of at least 0 that add up to at most the pairs"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}; expected a number between 0 and 1")
    return _interval(gained, lost, pairs, confidence)


@functools.lru_cache(maxsize=1 << 12)  # of a thousand classes most share their few counts
def _interval(gained: float, lost: float, pairs: float, confidence: float) -> Interval:
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    high = _upper_bound(gained, lost, pairs, quantile)
    low = -_upper_bound(lost, gained, pairs, quantile)
    return Interval(low, high, confidence)


def _upper_bound(gained: float, lost: float, pairs: float, quantile: float) -> float:
    low, high = (gained - lost) / pairs, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _score(gained, lost, pairs, middle) > -quantile:
            low = middle
        else:
            high = middle
    return high


def _score(gained: float, lost: float, pairs: float, difference: float) -> float:
    """Return Tango's statistic: the distance of the data above ``difference``, in standard errors.

    The variance uses the maximum-likelihood share of lost pictures given that difference, the
    positive root of A q^2 + B q + C = 0.
    """
    a = 2 * pairs
    b = -gained - lost + (2 * pairs - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    # Two forms of the same root: each avoids subtracting nearly equal numbers on its side.
    share = -2 * c / (b + root) if b > 0 else (root - b) / (2 * a)
    variance = pairs * (2 * share + difference * (1 - difference))
    distance = gained - lost - pairs * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def images_needed(
    gained: int, lost: int, pairs: int, margin: float, confidence: float = 0.90
) -> int | None:
    """Estimate the number of further pictures that would decide on which side of a margin it lies.

    Assumes that the pictures to come differ at the rates seen so far.

    Args:
        gained: As in ``accuracy_interval``.
        lost: As in ``accuracy_interval``.
        pairs: As in ``accuracy_interval``.
        margin: The difference of accuracies that is still accepted, for instance -0.01.
        confidence: Two-sided.

    Returns:
        At least 1, or None where even ``MAX_PICTURES`` pictures would not decide.
    """

    def decides(total: int) -> bool:
        scale = total / pairs
        interval = accuracy_interval(gained * scale, lost * scale, total, confidence)
        return interval.low > margin or interval.high < margin

    low, high = pairs, MAX_PICTURES
    if low >= high or not decides(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if decides(middle):
            high = middle
        else:
            low = middle
    return high - pairs
