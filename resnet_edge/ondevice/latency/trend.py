"""Trends in samples that were measured one after another: a drift, or slow ones in groups.

Percentiles and their bounds take queries as independent of one another; such samples are not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

SMALLEST_DRIFT = 0.05
"""Relative change of the median that counts as a drift: two runs of one file on an idle machine
differ by a few percent."""

BEYOND_CHANCE = 3.0
"""Standard deviations beyond which a test's statistic is no chance: one run in 370 without any
drift is beyond. The tests look at ranks and runs alone, so a few stray samples decide nothing."""

GROUPED_CORRELATION = 0.2
"""Least correlation between neighbouring queries' being slow that counts as groups. At 0.2 the
queries tell as much as two thirds of them, (1 - 0.2) / (1 + 0.2), would if they were independent.
"""


def change_of_median(samples: Sequence[float]) -> float:
    """Return the second half's median over the first half's, less 1; 0 for a single sample."""
    first, second = _halves(samples)
    return statistics.median(second) / statistics.median(first) - 1 if first else 0.0


def drifts(samples: Sequence[float]) -> bool:
    """True if the halves' medians differ by ``SMALLEST_DRIFT`` and by more than chance.

    Chance is judged by the Mann-Whitney U test.
    """
    first, second = _halves(samples)
    if not first or abs(change_of_median(samples)) < SMALLEST_DRIFT:
        return False
    return abs(rank_sum_deviation(first, second)) > BEYOND_CHANCE


def in_groups(samples: Sequence[float], limit: float) -> bool:
    """True if samples over ``limit`` come in groups, by more than chance.

    Chance is judged by the Wald-Wolfowitz runs test.
    """
    slow = [sample > limit for sample in samples]
    count, over = len(slow), sum(slow)
    if not 0 < over < count:
        return False
    changes = sum(slow[i] != slow[i - 1] for i in range(1, count))
    expected = 2 * over * (count - over) / count
    variance = expected * (expected - 1) / (count - 1)
    if variance <= 0:
        return False
    certain = (expected - changes) / math.sqrt(variance) > BEYOND_CHANCE
    return certain and 1 - changes / expected > GROUPED_CORRELATION


def _halves(samples: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Return two halves of equal length; the middle sample of an odd number is in neither."""
    half = len(samples) // 2
    return samples[:half], samples[len(samples) - half :]


def rank_sum_deviation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the distance of the ranks of ``second`` above chance, in standard deviations.

    The normal approximation of the Mann-Whitney U test, with its correction for ties, which share
    a rank.
    """
    ordered = sorted([*((value, 0) for value in first), *((value, 1) for value in second)])
    count, rank_sum, tied = len(ordered), 0.0, 0
    start = 0
    while start < count:
        end = start
        while end < count and ordered[end][0] == ordered[start][0]:
            end += 1
        rank = (start + 1 + end) / 2
        rank_sum += rank * sum(which for _, which in ordered[start:end])
        tied += (end - start) ** 3 - (end - start)
        start = end
    a, b = len(first), len(second)
    variance = a * b / 12 * (count + 1 - tied / (count * (count - 1)))
    if variance <= 0:
        return 0.0
    return (rank_sum - b * (count + 1) / 2) / math.sqrt(variance)
