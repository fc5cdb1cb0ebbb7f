"""Corrupted pictures that are corrupted where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.data.pixel_source import ManyPixels, PixelSource, pixel_source
from resnet_edge.ondevice.pictures import Pixels
from resnet_edge.robustness.corrupting import corrupt
from resnet_edge.robustness.corruptions import Corruption


@dataclass(frozen=True)
class CorruptedPixels:
    """The corrupted pictures of one shard."""

    clean: PixelSource
    hashes: tuple[str, ...]
    """SHA-256 of their files."""
    corruption: Corruption

    def pixels(self) -> Pixels:
        """Return the pictures; see ``resnet_edge.data.pixel_source.PixelSource``."""
        return corrupt_all(self.clean.pixels(), self.hashes, self.corruption)


@dataclass(frozen=True, eq=False)
class CorruptedStream:
    """Corrupted pictures like an array, corrupted anew each time that they are asked for."""

    clean: ManyPixels
    hashes: Sequence[str]
    corruption: Corruption

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, height, width, 3)``."""
        return self.clean.shape

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """The type of the pixels."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, places: slice | npt.NDArray[np.integer]) -> Pixels:
        """Return corrupted pictures: uint8 ``(n, height, width, 3)``."""
        hashes = [self.hashes[place] for place in np.arange(len(self))[places]]
        return corrupt_all(self.clean[places], hashes, self.corruption)

    def source(self, start: int, stop: int) -> CorruptedPixels:
        """Return a shard for another process."""
        hashes = tuple(self.hashes[start:stop])
        return CorruptedPixels(pixel_source(self.clean, start, stop), hashes, self.corruption)


def corrupt_all(
    pixels: npt.NDArray[np.uint8], hashes: Sequence[str], corruption: Corruption
) -> Pixels:
    """Corrupt pictures: uint8 ``(n, height, width, 3)`` to the same shape."""
    found = np.empty(pixels.shape, np.uint8)
    for place, (picture, sha256) in enumerate(zip(pixels, hashes, strict=True)):
        found[place] = corrupt(picture, sha256, corruption)
    return found
