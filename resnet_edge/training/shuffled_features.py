"""Cached features of any number in a random order, read from disk in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 2**16
"""Neighbouring features that are read together: single ones from a disk take many times as long."""
WINDOW_BYTES = 2**28
"""Features that are in memory together. All of a smaller set are shuffled as one."""


class Drawn(NamedTuple):
    """Features as an epoch's order has them."""

    features: NDArray[np.float32]
    """``(count, channels)``."""
    rows: NDArray[np.int64]
    """The picture of each, ``(count,)``."""


class ShuffledFeatures:
    """Features in an order of each epoch's own, of which memory holds a window at a time.

    Of as many neighbouring blocks as there are windows, each window takes one at random; then its
    features are shuffled. So every window has its share of every class, though pictures lie sorted
    by class. With 2,048 channels it has 4,096 blocks of 8 pictures.
    """

    def __init__(
        self, views: Sequence[NDArray[np.float32]], window_bytes: int = WINDOW_BYTES
    ) -> None:
        """Hold features, which may be mapped from disk.

        Args:
            views: Features ``(n, channels)`` of each view.
            window_bytes: Most bytes of features in memory, but for a block.
        """
        self._views = views
        self._count, self.channels = len(views[0]), int(views[0].shape[1])
        row_bytes = self.channels * np.dtype(np.float32).itemsize
        self._block = max(1, BLOCK_BYTES // row_bytes)
        blocks_at_once = max(1, window_bytes // row_bytes // self._block)
        self._blocks = -(-self._count // self._block)
        self._windows = -(-self._blocks // blocks_at_once)
        self._whole = self._count * row_bytes <= window_bytes
        rows = 0 if self._whole else blocks_at_once * self._block
        self._window = np.empty((rows, self.channels), np.float32)

    def draw(self, seed: int) -> None:
        """Begin the epoch that ``seed`` draws: the same seed draws the same order and views."""
        generator = np.random.default_rng(seed)
        if self._whole:
            self._order = generator.permutation(self._count)
            self._view_of = generator.integers(len(self._views), size=self._count)
            return
        self._seed, self._loaded = seed, -1
        neighbours = np.tile(np.arange(self._windows), (-(-self._blocks // self._windows), 1))
        self._window_of = generator.permuted(neighbours, axis=1).ravel()[: self._blocks]
        sizes = np.full(self._blocks, self._block)
        sizes[-1] = self._count - (self._blocks - 1) * self._block
        self._ends = np.bincount(self._window_of, sizes).astype(np.int64).cumsum()

    def read(self, positions: NDArray[np.int64]) -> Drawn:
        """Read the features at some positions of the epoch's order.

        Args:
            positions: Ascending, and after those of the epoch's earlier calls: a window is read
                once.
        """
        if self._whole:
            return self._read_rows(positions)
        window_of = np.searchsorted(self._ends, positions, side="right")
        parts = []
        for window in np.unique(window_of).tolist():
            if window != self._loaded:
                self._load(window)
            start = self._ends[window] - len(self._rows)
            chosen = self._slots[positions[window_of == window] - start]
            parts.append((self._window[chosen], self._rows[chosen]))
        features, rows = zip(*parts, strict=True)
        return Drawn(np.concatenate(features), np.concatenate(rows))

    def _read_rows(self, positions: NDArray[np.int64]) -> Drawn:
        rows = self._order[positions]
        features = np.empty((len(rows), self.channels), np.float32)
        for number, view in enumerate(self._views):
            chosen = self._view_of[rows] == number
            features[chosen] = view[rows[chosen]]
        return Drawn(features, rows)

    def _load(self, window: int) -> None:
        """Read a window's blocks in the order of the file, each from one view at random."""
        blocks = np.flatnonzero(self._window_of == window)
        rows = (blocks[:, None] * self._block + np.arange(self._block)).ravel()
        rows = rows[rows < self._count]
        generator = np.random.default_rng((self._seed, window))
        views = generator.integers(len(self._views), size=len(blocks)).tolist()
        filled = 0
        for block, view in zip(blocks.tolist(), views, strict=True):
            part = self._views[view][block * self._block : (block + 1) * self._block]
            self._window[filled : filled + len(part)] = part
            filled += len(part)
        self._rows, self._loaded = rows, window
        self._slots = generator.permutation(len(rows))
