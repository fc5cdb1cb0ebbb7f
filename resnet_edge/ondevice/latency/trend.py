"""Whether samples in order are all of one kind, or drift, or have their slow ones in groups.

Percentiles and their bounds take queries as independent of one another; such samples are not.

Runs on the device too: standard library only.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

SMALLEST = 0.05
"""Relative change of the median that counts as a drift: two runs of one file on an idle machine
differ by a few percent."""

SURE = 3.0
"""Standard deviations of the rank sum that are no chance: one run in 370 without any drift. The
ranks are all that it looks at, so a few stray samples decide nothing."""

GROUPED = 0.2
"""Correlation of being slow with the query before being slow that counts as groups: as if only
(1 - 0.2) / (1 + 0.2), two thirds of the queries, had been asked."""


def change_of_median(samples: Sequence[float]) -> float:
    """Median of the second half over the first half's, less 1; 0 for a single sample."""
    first, second = _halves(samples)
    return statistics.median(second) / statistics.median(first) - 1 if first else 0.0


def drifts(samples: Sequence[float]) -> bool:
    """Whether the halves differ by ``SMALLEST``, and by more than chance (Mann-Whitney U)."""
    first, second = _halves(samples)
    if not first or abs(change_of_median(samples)) < SMALLEST:
        return False
    return abs(rank_sum_deviation(first, second)) > SURE


def in_groups(samples: Sequence[float], limit: float) -> bool:
    """Whether those over ``limit`` come in groups, more than chance (Wald-Wolfowitz runs test)."""
    slow = [sample > limit for sample in samples]
    count, over = len(slow), sum(slow)
    if not 0 < over < count:
        return False
    changes = sum(slow[i] != slow[i - 1] for i in range(1, count))
    expected = 2 * over * (count - over) / count
    variance = expected * (expected - 1) / (count - 1)
    if variance <= 0:
        return False
    certain = (expected - changes) / math.sqrt(variance) > SURE
    return certain and 1 - changes / expected > GROUPED


def _halves(samples: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Equally long; the sample in the middle of an odd number is in neither."""
    half = len(samples) // 2
    return samples[:half], samples[len(samples) - half :]


def rank_sum_deviation(first: Sequence[float], second: Sequence[float]) -> float:
    """How far the ranks of ``second`` lie above chance, in standard deviations; ties share a rank.

    The normal approximation of the Mann-Whitney U test with its correction for ties.
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
