"""Histograms of activations: of bounded size, mergeable, and independent of the order.

The width of a bin is a power of two, and one edge is zero. So the bins of a wider histogram are
unions of those of a narrower one, and merging is exact:
``floor(floor(x / 2**e) / 2) == floor(x / 2**(e + 1))``. The width depends only on the smallest and
the largest value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BINS = 2048  # most bins of one histogram, as in TensorRT (Migacz 2017)
_FINEST = -149  # the smallest float32 above zero is 2**-149
_SIGNIFICAND_BITS = 24  # of float32: finer bins would separate nothing
_CHUNK = 1 << 16  # values counted at a time, so that their float64 copies stay in the cache


@dataclass(frozen=True)
class Grid:
    """Consecutive bins: bin ``i`` covers ``[i * 2**exponent, (i + 1) * 2**exponent)``.

    Attributes:
        exponent: Logarithm of the bin width, base 2.
        first: Index of the first bin.
        size: Number of bins.
    """

    exponent: int
    first: int
    size: int

    @classmethod
    def of(cls, low: float, high: float) -> Grid:
        """Return the finest grid of at most ``BINS`` bins from the bin of low to that of high.

        Bins are never finer than the last bit of the larger end as float32, which is what keeps a
        constant tensor's grid finite. A wider span never has a finer grid.

        Raises:
            ValueError: An end is NaN or infinite, or low is above high.
        """
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"values from {low} to {high}; expected finite and ascending ends")
        _, magnitude = math.frexp(max(abs(low), abs(high), math.ldexp(1.0, _FINEST)))
        exponent = max(_FINEST, magnitude - _SIGNIFICAND_BITS)
        first, last = (math.floor(math.ldexp(end, -exponent)) for end in (low, high))
        while last - first >= BINS:
            first, last, exponent = first >> 1, last >> 1, exponent + 1
        return cls(exponent, first, last - first + 1)

    @property
    def width(self) -> float:
        """Width of a bin, in the unit of the values."""
        return math.ldexp(1.0, self.exponent)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins, float64 ``(size + 1,)``, ascending, exact."""
        return (self.first + np.arange(self.size + 1)) * self.width

    @property
    def centres(self) -> np.ndarray:
        """Centres of the bins, float64 ``(size,)``, ascending, exact."""
        return (self.first + np.arange(self.size) + 0.5) * self.width


@dataclass(frozen=True)
class HistogramRecord:
    """A histogram as plain numbers, for JSON: ``dataclasses.asdict`` there, ``**`` back."""

    exponent: int
    first: int
    counts: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Histogram:
    """Number of a tensor's values in each bin.

    Attributes:
        exponent: Logarithm of the bin width, base 2.
        first: Index of the first bin; it holds the smallest value.
        counts: Values per bin, int64 ``(bins,)``, read-only; the last bin holds the largest value.
        low: Smallest value, exact.
        high: Largest value, exact.
    """

    exponent: int
    first: int
    counts: np.ndarray
    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the bins and counts, and keep a read-only copy of the counts.

        Raises:
            ValueError: The bins are not those of values from low to high, or a count is impossible.
        """
        counts = np.array(self.counts, np.int64)
        grid, expected = (
            Grid(self.exponent, self.first, counts.size),
            Grid.of(self.low, self.high),
        )
        if grid != expected or counts.ndim != 1:
            raise ValueError(
                f"histogram of values from {self.low} to {self.high} on {grid}; "
                f"expected {expected}; collect the statistics anew"
            )
        if counts.min() < 0 or counts[0] == 0 or counts[-1] == 0:
            raise ValueError(
                "histogram with a negative count or an empty first or last bin; expected the first "
                "to hold the smallest value and the last the largest; collect the statistics anew"
            )
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @classmethod
    def of(cls, values: np.ndarray) -> Histogram:
        """Count the values of one tensor.

        Args:
            values: Any shape, float32 or a type that float32 holds exactly.

        Raises:
            ValueError: No values, NaN or infinite values, or a type such as float64.
        """
        if not np.can_cast(values.dtype, np.float32):
            raise ValueError(f"values of type {values.dtype}; expected float32")
        if not values.size:
            raise ValueError("no values; expected at least one")
        # Adding zero turns -0.0, which compares equal to 0.0, into 0.0.
        low, high = float(values.min()) + 0.0, float(values.max()) + 0.0
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"values from {low} to {high}; expected finite values only")
        grid = Grid.of(low, high)
        return cls(grid.exponent, grid.first, _counts(values.reshape(-1), grid), low, high)

    @classmethod
    def from_record(cls, record: HistogramRecord) -> Histogram:
        """Return the histogram of a record.

        Raises:
            ValueError: The record's numbers contradict each other.
        """
        counts = np.asarray(record.counts, np.int64)
        return cls(record.exponent, record.first, counts, record.low, record.high)

    def to_record(self) -> HistogramRecord:
        """Return the histogram as plain numbers."""
        counts = tuple(int(count) for count in self.counts)
        return HistogramRecord(self.exponent, self.first, counts, self.low, self.high)

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of the values of both, as if counted at once."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        grid = Grid.of(low, high)
        counts = self.counts_on(grid) + other.counts_on(grid)
        return Histogram(grid.exponent, grid.first, counts, low, high)

    def counts_on(self, grid: Grid) -> np.ndarray:
        """Count the same values on an equal or coarser grid.

        Returns:
            int64 ``(grid.size,)``, zero where the grid reaches beyond the values.

        Raises:
            ValueError: The grid is finer or does not hold all bins.
        """
        shift = min(grid.exponent - self.exponent, 62)  # int64 has no bits beyond
        bins = ((self.first + np.arange(self.counts.size)) >> max(shift, 0)) - grid.first
        if shift < 0 or bins[0] < 0 or bins[-1] >= grid.size:
            raise ValueError(f"{grid} for bins of {self.grid}; expected a coarser one around them")
        counts = np.zeros(grid.size, np.int64)
        np.add.at(counts, bins, self.counts)
        return counts

    @property
    def grid(self) -> Grid:
        """The bins."""
        return Grid(self.exponent, self.first, self.counts.size)

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins, float64 ``(bins + 1,)``."""
        return self.grid.edges

    @property
    def centres(self) -> np.ndarray:
        """Centres of the bins, float64 ``(bins,)``."""
        return self.grid.centres

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.to_record() == other.to_record()


def _counts(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Count flat values per bin. Exact, as float64 holds a float32 times any power of two."""
    counts = np.zeros(grid.size, np.int64)
    per_width = math.ldexp(1.0, -grid.exponent)
    for start in range(0, values.size, _CHUNK):
        bins = np.multiply(values[start : start + _CHUNK], per_width, dtype=np.float64)
        np.floor(bins, out=bins)
        bins -= grid.first
        counts += np.bincount(bins.astype(np.intp), minlength=grid.size)
    return counts
