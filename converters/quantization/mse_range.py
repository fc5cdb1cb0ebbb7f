"""The range of a tensor with the smallest mean squared error of its 8-bit values.

A narrower range has finer steps and clips more values. Every range returned here is finite, spans
at least ``SMALLEST_SPAN`` and contains zero, which must be exact (padding, ReLU; Jacob et al. 2018,
arXiv:1712.05877). It does not reach beyond the values and zero. Only a tensor that spans less than
``SMALLEST_SPAN`` gets ``DEAD_RANGE``.

It is best where channels cannot be equalized, as between swish or GELU activations. Percentiles,
entropy (TensorRT) and moving averages were measured too (``benchmarks/range_methods.py``): only
percentiles were ever better beyond the spread of seeds, by 0.2 dB, and on another network 11 dB
worse.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from converters.quantization.histogram import Grid, Histogram
from converters.quantization.tensor_range import Range

LEVELS = 256  # of 8 bits
SMALLEST_SPAN = 1e-9  # litert-quantizer widens a narrower range
# A tensor that never leaves zero is exact at every step. A tiny one may overflow the int32 bias of
# the next layer, which counts in input step times weight step: litert-quantizer refuses that.
DEAD_RANGE = Range(0.0, 1.0)

_SHRINK = tuple(2 ** (-i / 16) for i in range(129))  # 4 % apart, down to 1/256: 4 to 8 bins


def min_max(histogram: Histogram) -> Range:
    """Return the range of all values and zero: nothing is clipped."""
    return _or(_with_zero(histogram), DEAD_RANGE)


def mse(histogram: Histogram, levels: int = LEVELS) -> Range:
    """Return the range with the smallest mean squared error of affine quantization.

    A grid search over factors of both ends, of the low end alone and of the high end alone. It runs
    twice; the second search starts from the result of the first. Of equals, the wider range wins.

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
    Values count as uniform within a bin. That holds for zeros too, which adds the same error to
    every range with at least two bins a step. The integral over a bin, with rounding and clipping,
    is exact. The bins are those of the span with zero: 4 to 8 for each step of 256 levels.

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


def _with_zero(values: Histogram) -> Range:
    return Range(min(values.low, 0.0), max(values.high, 0.0))


def _or(chosen: Range, otherwise: Range) -> Range:
    """Return the chosen range, unless it is too narrow to have a step."""
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
    """Yield ranges to try, the start first."""
    for factor in _SHRINK:
        yield Range(start.low * factor, start.high * factor)
    if start.low < 0 < start.high:
        for factor in _SHRINK[1:]:
            yield Range(start.low * factor, start.high)
            yield Range(start.low, start.high * factor)
