"""The one rule by which a latency counts as lower than another.

The report, the recommendation, the comparison of two builds and the device's table all use it.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnet_edge.ondevice.measurements import Latency

SAME_MEDIAN = 0.05
"""Medians this near each other, as a share of the larger one, are as fast as each other: two runs
of one file on an idle machine differ by a few percent."""


def as_fast(one: Latency, other: Latency) -> bool:
    """True if two latencies cannot be told apart.

    That is so if the middle halves of their samples overlap, or their medians lie within
    ``SAME_MEDIAN``.
    """
    low, high = sorted((one, other), key=lambda latency: latency.p50_s)
    overlap = high.quantile_s(0.25) <= low.quantile_s(0.75)
    return overlap or high.p50_s - low.p50_s <= SAME_MEDIAN * high.p50_s


def faster(one: Latency, other: Latency) -> bool:
    """True if ``one`` is lower than ``other`` by more than noise."""
    return one.p50_s < other.p50_s and not as_fast(one, other)


def best_latency(latencies: Sequence[Latency]) -> Latency:
    """Return the one to deploy: the lowest median, or one that is as fast with fewer threads.

    Args:
        latencies: At least one, of one artifact.
    """
    lowest = min(latencies, key=lambda latency: latency.p50_s)
    alike = (latency for latency in latencies if as_fast(latency, lowest))
    return min(alike, key=lambda latency: latency.threads)
