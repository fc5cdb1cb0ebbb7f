"""Intervals of differences between two builds whose pictures or samples are not paired.

Nothing is drawn at random, so the same records give the same intervals.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist

from resnet_edge.ondevice.measurements import Interval

CONFIDENCE = 0.95
"""The two-sided confidence of every interval here."""

STRETCHES = 10
"""The number of consecutive parts into which a run's samples are cut."""

SHORTEST = 4
"""Least samples in a stretch; the medians of shorter ones depend on one another too much."""

LEAST_SAMPLES = 7
"""With fewer samples, the median lies too often outside the lowest and the highest."""


def median_bounds(samples: Sequence[float]) -> tuple[float, float] | None:
    """Return two bounds of the median, for any distribution; two pairs hold at ``CONFIDENCE``.

    One query resembles the query before it, so samples tell less than their number. The run is cut
    into ``STRETCHES`` consecutive stretches, whose medians depend on one another far less. The
    second lowest and the second highest of ten lie around their median with 1 - 2 (1 + 10) / 2^10 =
    97.9 % (the sign test, inverted). If stretches would be shorter than ``SHORTEST``, the lowest
    and the highest sample are taken: 98.4 % for 7 samples, more for more.

    Args:
        samples: The samples in the order they were measured.

    Returns:
        Lower and upper bound; None with fewer than ``LEAST_SAMPLES``.
    """
    count = len(samples)
    if count < LEAST_SAMPLES:
        return None
    if count < SHORTEST * STRETCHES:
        return min(samples), max(samples)
    cuts = [count * part // STRETCHES for part in range(STRETCHES + 1)]
    medians = sorted(
        statistics.median(samples[start:end]) for start, end in itertools.pairwise(cuts)
    )
    return medians[1], medians[-2]


def ratio_interval(before: Sequence[float], after: Sequence[float]) -> Interval | None:
    """Return an interval of (median of ``after`` / median of ``before``) - 1.

    Each median lies between bounds of its own; the ratio then lies between theirs. That is wider
    than necessary, never too narrow. It holds for these two runs: another run of the same file may
    lie outside, so ``resnet_edge.comparison`` requires more than this interval.

    Args:
        before: Positive samples, in the order they were measured.
        after: The same, of the other build.

    Returns:
        None if one has fewer than ``LEAST_SAMPLES``.
    """
    first, second = median_bounds(before), median_bounds(after)
    if first is None or second is None:
        return None
    return Interval(second[0] / first[1] - 1, second[1] / first[0] - 1, CONFIDENCE)


def share_interval(before: tuple[int, int], after: tuple[int, int]) -> Interval:
    """Return an interval of the difference of two shares counted on different pictures.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", Statistics in Medicine 17 (1998), 873-890, method 10.

    Args:
        before: Number of hits, and of pictures, at least one.
        after: The same, of the other build.

    Returns:
        Bounds of (share of ``after``) - (share of ``before``).
    """
    (low_before, high_before), (low_after, high_after) = _wilson(*before), _wilson(*after)
    first, second = before[0] / before[1], after[0] / after[1]
    difference = second - first
    down = math.hypot(second - low_after, high_before - first)
    up = math.hypot(high_after - second, first - low_before)
    return Interval(difference - down, difference + up, CONFIDENCE)


def _wilson(hits: int, count: int) -> tuple[float, float]:
    """Return E. B. Wilson's score interval of one share."""
    squared = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2
    middle = (hits + squared / 2) / (count + squared)
    variance = hits * (count - hits) / count + squared / 4
    half = math.sqrt(squared * variance) / (count + squared)
    return max(0.0, middle - half), min(1.0, middle + half)
