"""Ways to choose a tensor's range that level `fast` does not take.

Measured by `benchmarks/range_methods.py`. Each takes one tensor's values on the calibration
pictures: a histogram, and the extremes of one picture after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from converters.quantization.sampled_ranges import least_error
from converters.quantization.tensor_range import Range

BINS = 2048  # TensorRT's number (Migacz, "8-bit inference with TensorRT", GTC 2017)
LEVELS = 256
SHARE = 0.9999  # of the values that the percentile keeps
MOMENTUM = 0.95  # litert-quantizer's default


@dataclass
class Seen:
    """One tensor on all calibration pictures."""

    lows: np.ndarray
    """Smallest value of every picture, float64 ``(pictures,)``."""
    highs: np.ndarray
    """Largest value of every picture, float64 ``(pictures,)``."""
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """Values in each of ``BINS`` equal bins over ``whole``, without those that are exactly zero."""
    zeros: int = 0
    """Values that are exactly zero, which every range represents exactly."""

    def __post_init__(self) -> None:
        self.whole = Range(min(0.0, float(self.lows.min())), max(0.0, float(self.highs.max())))
        self.edges = np.linspace(self.whole.low, self.whole.high, BINS + 1)

    def add(self, values: np.ndarray) -> None:
        """Count the values of one picture, ``(count,)``."""
        filled = values[values != 0]
        width = (self.whole.high - self.whole.low) / BINS or 1.0
        place = ((filled - self.whole.low) / width).astype(np.int64)
        self.counts += np.bincount(np.clip(place, 0, BINS - 1), minlength=BINS)
        self.zeros += values.size - filled.size


def percentile(seen: Seen) -> Range:
    """Return the narrowest range that keeps ``SHARE`` of the values.

    Of a signed tensor half of the rest is dropped at each end.
    """
    total = int(seen.counts.sum()) + seen.zeros
    spare = total - math.ceil(SHARE * total)
    if seen.whole.low < 0 < seen.whole.high:
        spare //= 2
    edges = seen.edges
    start = int(np.searchsorted(np.cumsum(seen.counts), spare, side="right"))
    end = BINS - int(np.searchsorted(np.cumsum(seen.counts[::-1]), spare, side="right"))
    return Range(min(0.0, float(edges[start])), max(0.0, float(edges[end])))


def entropy(seen: Seen) -> Range:
    """Return the range whose quantized distribution diverges least from that of the values.

    Migacz 2017: for each threshold, the values beyond it join the last bin of the reference. No
    range is narrower than one bin per level.
    """
    edges = seen.edges
    zero = int(np.searchsorted(edges, 0.0))
    best, least = seen.whole, math.inf
    for threshold in range(BINS, 0, -1):
        start, end = max(0, zero - threshold), min(BINS, zero + threshold)
        if end - start < LEVELS:
            break
        inside = seen.counts[start:end]
        reference = inside.copy()
        reference[0] += seen.counts[:start].sum()
        reference[-1] += seen.counts[end:].sum()
        found = _divergence(reference, inside)
        if found < least:
            best, least = Range(float(edges[start]), float(edges[end])), found
    return Range(min(0.0, best.low), max(0.0, best.high))


def mse(seen: Seen) -> Range:
    """Return the range with the smallest mean squared error of the 8-bit values."""
    return least_error(seen.counts, seen.whole) if seen.counts.any() else seen.whole


def moving_average(seen: Seen) -> Range:
    """Return the exponential moving average of the extremes (Jacob et al. 2018)."""
    low, high = min(0.0, float(seen.lows[0])), max(0.0, float(seen.highs[0]))
    for one, other in zip(seen.lows[1:], seen.highs[1:], strict=True):
        low = MOMENTUM * low + (1 - MOMENTUM) * min(0.0, float(one))
        high = MOMENTUM * high + (1 - MOMENTUM) * max(0.0, float(other))
    return Range(low, high)


CANDIDATES: dict[str, Callable[[Seen], Range]] = {
    "mse": mse,
    "percentile": percentile,
    "entropy": entropy,
    "moving-average": moving_average,
}


def _divergence(reference: np.ndarray, inside: np.ndarray) -> float:
    """Kullback-Leibler divergence of ``inside``, spread over 256 levels, from the reference."""
    level = np.arange(reference.size) * LEVELS // reference.size
    filled = reference > 0
    holds = np.bincount(level, weights=inside, minlength=LEVELS)
    shared_by = np.bincount(level, weights=filled, minlength=LEVELS)
    expanded = (holds / np.maximum(shared_by, 1))[level][filled]
    if not expanded.all():
        return math.inf
    p = reference[filled] / reference.sum()
    return float(p @ np.log(p / (expanded / expanded.sum())))
