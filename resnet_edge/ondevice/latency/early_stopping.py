"""MLPerf's early stopping: bounds of a latency percentile from a limited number of queries.

By the rules of MLPerf Inference (``inference_rules.adoc`` of ``mlcommons/inference_policies``,
appendix "Early Stopping Criterion") and ``loadgen/early_stopping.cc`` of ``mlcommons/inference``:
of n queries let t be the largest number for which a system with just p of its queries within a
limit would leave at most t of n over it with a probability of 1 - c or less. Discard the t - 1
slowest queries; the slowest of the others is the estimate. With a confidence c of 99 % it is at or
above the true percentile, and the nearer, the more queries there are. Queries are taken as
independent of one another.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

PERCENTILE = 0.90
"""The percentile of MLPerf's SingleStream."""

CONFIDENCE = 0.99
"""MLPerf's, for every scenario; its tolerance is 0."""

MOST_QUERIES = 10_000_000
"""More queries than this, over a day at 10 ms each, count as impossible."""


def probability_at_most(over: int, queries: int, share: float) -> float:
    """Return the probability that at most ``over`` of ``queries`` lie above percentile ``share``.

    The lower tail of a binomial distribution, summed from its largest term downwards.
    """
    if over < 0:
        return 0.0
    if over >= queries:
        return 1.0
    log_term = (
        math.lgamma(queries + 1)
        - math.lgamma(over + 1)
        - math.lgamma(queries - over + 1)
        + over * math.log1p(-share)
        + (queries - over) * math.log(share)
    )
    odds = share / (1 - share)
    term = total = 1.0
    for count in range(over, 0, -1):  # from one count to the one below it
        term *= odds * count / (queries - count + 1)
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, total * math.exp(log_term))


@functools.lru_cache(maxsize=4096)
def allowed_over(queries: int, share: float = PERCENTILE, confidence: float = CONFIDENCE) -> int:
    """Return MLPerf's t, the number of queries that may be over; 0 if there is no bound."""
    most = int(queries * (1 - share))  # the mean: at most so many are seen half of the time
    return _last(
        lambda over: probability_at_most(over, queries, share) <= 1 - confidence, 0, most + 1
    )


@functools.lru_cache(maxsize=64)
def least_queries(share: float = PERCENTILE, confidence: float = CONFIDENCE) -> int:
    """Return the fewest queries that give a bound: 64 for the 90th percentile at 99 %."""

    def too_few(queries: int) -> bool:
        return probability_at_most(1, queries, share) > 1 - confidence

    high = 2
    while too_few(high):
        high *= 2
    return _last(too_few, 1, high) + 1


def upper_bound(
    samples: Sequence[float], share: float = PERCENTILE, confidence: float = CONFIDENCE
) -> float | None:
    """Return MLPerf's early-stopping estimate of a percentile.

    Args:
        samples: In any order.
        share: The percentile, in (0, 1).
        confidence: Least probability that the estimate is not below the true percentile.

    Returns:
        One of the samples; None where there are fewer than ``least_queries``.
    """
    allowed = allowed_over(len(samples), share, confidence)
    return sorted(samples)[len(samples) - allowed] if allowed else None


def within_limit(over: int, queries: int) -> bool | None:
    """Judge by the number of queries over a limit if the 90th percentile holds it.

    Returns:
        True where MLPerf's estimate holds it; False where so many would exceed a limit that holds
        with a probability of 1 % or less; None where neither is shown.
    """
    if over < allowed_over(queries):
        return True
    if 1 - probability_at_most(over - 1, queries, PERCENTILE) <= 1 - CONFIDENCE:
        return False
    return None


def queries_to_decide(over: int, queries: int) -> int | None:
    """Estimate the number of queries in all that would decide, if the same share of them is over.

    Returns:
        More than ``queries``; None if no number would decide, because the share is about a tenth.
    """
    share = over / queries

    def undecided(count: int) -> bool:
        seen = math.ceil(share * count) if share < 1 - PERCENTILE else math.floor(share * count)
        return within_limit(seen, count) is None

    high = 2 * queries
    while undecided(high):
        high *= 2
        if high > MOST_QUERIES:
            return None
    return _last(undecided, queries, high) + 1


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the last number that ``holds``, by bisection: ``low`` does, ``high`` does not."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
