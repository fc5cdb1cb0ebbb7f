"""Large arrays, one block of rows after another, so that memory does not grow with the rows."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Protocol, Union

import numpy as np
import numpy.typing as npt

NUMBERS = 1 << 19
"""Numbers of a block: 4 MB in float64. Figures of a row must not depend on the block it is in."""

Places = Union[slice, npt.NDArray[np.integer]]
"""Places of rows."""


class Rows(Protocol):
    """An array of at least one dimension, or what computes its rows when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""

    def __getitem__(self, rows: Places, /) -> np.ndarray:
        """Return rows, as of an array."""

    def __array__(self) -> np.ndarray:
        """Return all rows."""


def row_blocks(*arrays: Rows) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """Yield the same rows of all arrays, a block at a time.

    The memory that a mapped file took is given back after each block.

    Args:
        arrays: All of the same length; the rows of the first are the widest.

    Yields:
        The place of the rows, and a block of each array, aligned and in C order.
    """
    count = arrays[0].shape[0]
    step = max(1, NUMBERS // max(1, math.prod(arrays[0].shape[1:])))
    maps = [found for array in arrays if (found := _read_only_map(array)) is not None]
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        # A member of a zip file begins anywhere, so its numbers may lie across their boundaries.
        yield rows, tuple(np.require(array[rows], requirements=["C", "A"]) for array in arrays)
        for mapped in maps:
            mapped.madvise(mmap.MADV_DONTNEED)


def _read_only_map(array: object) -> mmap.mmap | None:
    """Return the map that an array lies in, if dropping its pages loses nothing."""
    mapped = False
    while isinstance(array, np.ndarray):
        mapped = mapped or (isinstance(array, np.memmap) and array.mode == "r")
        array = array.base
    can_drop = mapped and isinstance(array, mmap.mmap) and hasattr(array, "madvise")
    return array if can_drop else None  # type: ignore[return-value]


def all_finite(rows: Rows) -> bool:
    """Return True if there is neither NaN nor infinity."""
    return all(bool(np.isfinite(block).all()) for _, (block,) in row_blocks(rows))
