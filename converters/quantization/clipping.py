"""From a histogram of activations to the range that int8 represents.

A narrower range has finer steps and clips more. Every range returned here is finite and contains
zero, which must be exact (padding, ReLU; Jacob et al. 2018, arXiv:1712.05877), and spans at least
``SMALLEST_SPAN``. None reaches beyond the values and zero, but for ``DEAD_RANGE``, which a tensor
gets that spans less than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from converters.quantization.histogram import Grid, Histogram
from converters.quantization.settings import RangeMethod
from converters.quantization.tensor_range import Range

LEVELS = 256  # of 8 bits
SMALLEST_SPAN = 1e-9  # litert-quantizer widens whatever is narrower
# A tensor that never leaves zero is exact at every step. A tiny one may overflow the int32 bias of
# the next layer, which counts in input step times weight step: litert-quantizer refuses that.
DEAD_RANGE = Range(0.0, 1.0)
SHARE = 0.9999  # of the values that the percentile range keeps
MOMENTUM = 0.95

_SHRINK = tuple(2 ** (-i / 16) for i in range(129))  # 4 % apart, down to 1/256: 4 to 8 bins


def choose_range(histogram: Histogram, method: RangeMethod) -> Range:
    """Return the range that a method finds, with the method's default settings.

    Raises:
        ValueError: The method is the moving average, which is no function of a histogram.
    """
    match method:
        case RangeMethod.MIN_MAX:
            return min_max(histogram)
        case RangeMethod.PERCENTILE:
            return percentile(histogram)
        case RangeMethod.MSE:
            return mse(histogram)
        case RangeMethod.ENTROPY:
            return entropy(histogram)
        case RangeMethod.MOVING_AVERAGE:
            raise ValueError(
                f"method {method} depends on the order of the pictures, which a histogram does not "
                "hold; expected min-max, percentile, mse or entropy; call moving_average instead"
            )


def min_max(histogram: Histogram) -> Range:
    """Return the range of all values and zero: nothing is clipped."""
    return _or(_with_zero(histogram), DEAD_RANGE)


def percentile(histogram: Histogram, share: float = SHARE) -> Range:
    """Return the narrowest range, in whole bins, that keeps a share of the values.

    Of a signed tensor half of the rest is dropped at each end, of a one-sided one everything at the
    end away from zero.

    Args:
        histogram: The values.
        share: Kept at least, above 0 and at most 1.

    Raises:
        ValueError: The share is out of bounds.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share {share}; expected above 0 and at most 1")
    if _is_dead(histogram):
        return DEAD_RANGE
    whole = min_max(histogram)
    spare = histogram.count - math.ceil(share * histogram.count)
    if whole.low < 0 < whole.high:
        spare //= 2
    below = np.cumsum(histogram.counts)
    above = histogram.count - below
    start = int(np.searchsorted(below, spare, side="right"))  # the first bin that must stay
    end = int(np.argmax(above <= spare)) + 1
    edges = histogram.edges
    low, high = max(whole.low, float(edges[start])), min(whole.high, float(edges[end]))
    return _or(Range(min(low, 0.0), max(high, 0.0)), whole)


def mse(histogram: Histogram, levels: int = LEVELS) -> Range:
    """Return the range with the smallest mean squared error of affine quantization.

    A grid search over factors of both ends, of the low end alone and of the high end alone, twice:
    the second search starts at what the first one found. Ties go to the wider range.

    Args:
        histogram: The values.
        levels: Levels of the quantizer, 2 or more.

    Raises:
        ValueError: Fewer than two levels.
    """
    _check_levels(levels)
    if _is_dead(histogram):
        return DEAD_RANGE
    best = whole = min_max(histogram)
    for _ in range(2):
        best = min(_shrunk(best), key=lambda clip: squared_error(histogram, clip, levels))
    return _or(best, whole)


def squared_error(histogram: Histogram, clip: Range, levels: int = LEVELS) -> float:
    """Return the mean squared error of quantizing the values to levels spread over a range.

    The zero point is nudged to a whole level, as TFLite does (Jacob et al. 2018, section 3.1).
    Values count as uniform within a bin (those of exactly zero too, which adds the same to every
    range with two bins or more per step); the integral over a bin is exact, rounding and clipping
    together. Bins are those of the span with zero, 4 to 8 per step of 256 levels over all of it.

    Args:
        histogram: The values.
        clip: Contains zero.
        levels: 2 or more.

    Returns:
        In the values' unit, squared.

    Raises:
        ValueError: Fewer than two levels, or a range without zero or without extent.
    """
    _check_levels(levels)
    if not (clip.low <= 0 <= clip.high and clip.low < clip.high):
        raise ValueError(f"range from {clip.low} to {clip.high}; expected one around zero")
    grid = _grid_with_zero(histogram)
    step = (clip.high - clip.low) / (levels - 1)
    lowest = round(clip.low / step)  # the negative zero point: half to even, as the quantizers do
    edges = grid.edges / step
    level = np.clip(np.rint(edges), lowest, lowest + levels - 1)
    # Antiderivative of (x - level)**2 with the level next to x: a whole cell is worth 1/12.
    integral = level / 12 + (edges - level) ** 3 / 3
    errors = np.diff(integral) * (step / grid.width)
    return float(errors @ histogram.counts_on(grid)) / histogram.count * step**2


def entropy(histogram: Histogram, levels: int = LEVELS) -> Range:
    """Return the range whose quantized distribution diverges least from that of the values.

    Migacz, "8-bit inference with TensorRT", GTC 2017: for each threshold, what lies beyond joins
    the last bin of the reference. There 128 levels cover ``[0, t]`` of the magnitudes; here
    ``[-t, t]`` cuts what the values span with zero, and all levels cover what is left, so that ReLU
    outputs use every one of them. As there, no range is narrower than one bin per level: 256 levels
    cover at least an eighth of the span. The bin of zero counts no more than its neighbours, for
    zero is exact anyway (NVIDIA's pytorch-quantization gives it its neighbour's count). Ties go to
    the wider range.

    Args:
        histogram: The values.
        levels: 2 or more.

    Raises:
        ValueError: Fewer than two levels.
    """
    _check_levels(levels)
    if _is_dead(histogram):
        return DEAD_RANGE
    whole = min_max(histogram)
    grid = _grid_with_zero(histogram)
    counts = _without_spike(histogram.counts_on(grid), -grid.first)
    widest = max(-grid.first, grid.first + grid.size)
    best, least = widest, math.inf
    for threshold in range(widest, 0, -1):
        start = max(0, -threshold - grid.first)
        end = min(grid.size, threshold - grid.first)
        if end - start < levels:
            break
        found = divergence(*_clipped(counts, start, end), levels)
        if found < least:
            best, least = threshold, found
    bound = best * grid.width
    return _or(Range(max(whole.low, -bound), min(whole.high, bound)), whole)


def divergence(reference: np.ndarray, inside: np.ndarray, levels: int) -> float:
    """Return the Kullback-Leibler divergence of a quantized distribution from the reference.

    Neighbouring bins share a level; what a level holds is spread evenly over those of its bins that
    are not empty in the reference.

    Args:
        reference: Counts with the outliers in the end bins, ``(bins,)``.
        inside: Counts without the outliers, ``(bins,)``, the ones quantized.
        levels: Levels that the bins are quantized to.

    Returns:
        In nats; infinite where the reference holds values and the quantized distribution none.
    """
    level = np.arange(reference.size) * levels // reference.size
    filled = reference > 0
    holds = np.bincount(level, weights=inside)
    shared_by = np.bincount(level, weights=filled)
    expanded = (holds / np.maximum(shared_by, 1))[level][filled]
    if not expanded.all():
        return math.inf
    p = reference[filled] / reference.sum()
    return float(p @ np.log(p / (expanded / expanded.sum())))


def moving_average(previous: Range, seen: Range, momentum: float = MOMENTUM) -> Range:
    """Move a range towards what one more picture shows, as training-time observers do.

    Jacob et al. 2018, section 3.1. For comparison with other tools only: the result depends on the
    order of the pictures, parts cannot be merged, and what lies beyond the average is clipped.

    Args:
        previous: The average so far; the first picture's range to begin with.
        seen: The next picture's range.
        momentum: Weight of the average so far, at least 0 and below 1.

    Raises:
        ValueError: The momentum is out of bounds.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum {momentum}; expected at least 0 and below 1")
    before, now = _with_zero(previous), _with_zero(seen)
    average = Range(
        momentum * before.low + (1 - momentum) * now.low,
        momentum * before.high + (1 - momentum) * now.high,
    )
    return _or(average, DEAD_RANGE)


def instability(first: Range | Histogram, second: Range | Histogram) -> float:
    """Return how far the ranges of two halves of the pictures are apart.

    Ranges with zero, as a quantizer has them. A large number says that more pictures would move the
    range: too few were given.

    Returns:
        The larger difference of the low or the high ends, as a share of the span of both, in
        [0, 1]; 0 if the ranges are equal.
    """
    one, other = _with_zero(first), _with_zero(second)
    both = one.union(other)
    if both.low == both.high:
        return 0.0
    apart = max(abs(one.low - other.low), abs(one.high - other.high))
    return apart / (both.high - both.low)


def _with_zero(values: Range | Histogram) -> Range:
    return Range(min(values.low, 0.0), max(values.high, 0.0))


def _or(chosen: Range, otherwise: Range) -> Range:
    """The chosen range, unless it is too narrow to have a step."""
    return chosen if chosen.high - chosen.low >= SMALLEST_SPAN else otherwise


def _is_dead(histogram: Histogram) -> bool:
    span = _with_zero(histogram)
    return span.high - span.low < SMALLEST_SPAN


def _grid_with_zero(histogram: Histogram) -> Grid:
    span = _with_zero(histogram)
    return Grid.of(span.low, span.high)


def _check_levels(levels: int) -> None:
    if levels < 2:
        raise ValueError(f"levels {levels}; expected 2 or more")


def _shrunk(start: Range) -> Iterator[Range]:
    """Ranges to try, the start first."""
    for factor in _SHRINK:
        yield Range(start.low * factor, start.high * factor)
    if start.low < 0 < start.high:
        for factor in _SHRINK[1:]:
            yield Range(start.low * factor, start.high)
            yield Range(start.low, start.high * factor)


def _without_spike(counts: np.ndarray, zero: int) -> np.ndarray:
    """Counts whose bin of zero is no higher than the higher of its neighbours."""
    neighbours = [counts[i] for i in (zero - 1, zero + 1) if 0 <= i < counts.size]
    capped = counts.copy()
    capped[zero] = min(counts[zero], max(neighbours))
    return capped


def _clipped(counts: np.ndarray, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Bins from start to end, first with the counts beyond added to the end bins, then without."""
    inside = counts[start:end]
    reference = inside.copy()
    reference[0] += counts[:start].sum()
    reference[-1] += counts[end:].sum()
    return reference, inside
