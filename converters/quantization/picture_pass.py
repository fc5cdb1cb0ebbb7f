"""A pass over pictures: statistics of batches that merge exactly, here or wherever it is spread to.

The batches are cut before anyone computes, since TensorFlow's last bits depend on their size. So
the statistics have the same bits whoever computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from converters.learning.memory_maps import forget_pages

Arrays = tuple[np.ndarray, ...]
"""Statistics of some pictures, as the pass lays them out."""

Measure = Callable[[np.ndarray], Arrays]
"""A function from a batch, uint8 ``(n, height, width, 3)``, to its statistics."""

Advance = Callable[[int], object]
"""Called with the number of pictures done since the last call."""


class PicturePass(Protocol):
    """What is measured on pictures: a frozen dataclass that can be pickled."""

    @property
    def title(self) -> str:
        """Names it in messages."""

    @property
    def batch(self) -> int:
        """Number of pictures measured at once."""

    def open(self) -> Measure:
        """Load what all batches need; called once in each process."""

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        """Return the statistics of both. Exact: grouped otherwise, the bits are the same."""


@dataclass(frozen=True)
class Batch:
    """Pictures that are measured at once."""

    part: int
    """Number of the part that they belong to."""
    places: np.ndarray
    """Their indices, in their order."""


class Spread(Protocol):
    """Runs a pass, in one process or in many."""

    def __call__(
        self,
        work: PicturePass,
        pictures: np.ndarray,
        parts: Sequence[np.ndarray],
        advance: Advance,
    ) -> list[Arrays]:
        """Run a pass.

        Args:
            work: The pass.
            pictures: uint8 ``(count, height, width, 3)``, may be a memory map.
            parts: Indices of the pictures of each part; every part has some.
            advance: Shows the progress.

        Returns:
            The statistics of every part.
        """


def run_here(
    work: PicturePass, pictures: np.ndarray, parts: Sequence[np.ndarray], advance: Advance
) -> list[Arrays]:
    """Run a pass in this process, batch after batch; see ``Spread``."""
    measure = work.open()

    def found() -> Iterator[tuple[int, Arrays]]:
        read = 0
        for batch in cut(parts, work.batch):
            chosen = np.asarray(pictures[batch.places])
            read += chosen.nbytes
            if read >= _FORGET_EVERY:
                forget_pages(pictures)
                read = 0
            yield batch.part, measure(chosen)
            advance(len(chosen))

    return list(merge_parts(work, found()).values())


_FORGET_EVERY = 1 << 19  # bytes that were read from a memory map


def cut(parts: Sequence[np.ndarray], size: int) -> list[Batch]:
    """Return the batches of all parts in order; none holds pictures of two parts."""
    return [
        Batch(number, places[start : start + size])
        for number, places in enumerate(parts)
        for start in range(0, len(places), size)
    ]


def merge_parts(work: PicturePass, found: Iterable[tuple[int, Arrays]]) -> dict[int, Arrays]:
    """Merge statistics by the number of their part, in the order in which they come."""
    merged: dict[int, Arrays] = {}
    for part, arrays in found:
        merged[part] = work.merge(merged[part], arrays) if part in merged else arrays
    return merged


def all_of(pictures: np.ndarray) -> list[np.ndarray]:
    """Return one part: all pictures in their order."""
    return [np.arange(len(pictures))]


def ignore(_: int) -> None:
    """Show no progress."""
