"""The pixels of many pictures, on disk or decoded where they are needed, and a shard of them.

A process is told where its pictures come from instead of being sent arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from resnet_edge.data.decoded import decode_verified, in_batches
from resnet_edge.data.pictures import Picture
from resnet_edge.data.workers import in_order, threads_for
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.pictures import Pixels
from resnet_edge.scale.shared_files import shared_file


class PixelSource(Protocol):
    """The pictures of one shard."""

    def pixels(self) -> Pixels:
        """Return them: uint8 ``(n, height, width, 3)``.

        Raises:
            DataError: A picture is gone or was changed.
        """


@dataclass(frozen=True)
class MappedPixels:
    """Pictures of a file of decoded ones."""

    path: Path
    """``.npy``, uint8 ``(all, height, width, 3)``; absolute."""
    start: int
    stop: int

    def pixels(self) -> Pixels:
        """Return the pictures; see ``PixelSource``."""
        found: Pixels = np.asarray(map_array(shared_file(self.path))[self.start : self.stop])
        return found


@dataclass(frozen=True)
class DecodedPixels:
    """Pictures that are decoded by the process that needs them, and kept nowhere."""

    pictures: tuple[Picture, ...]
    size: tuple[int, int]
    """Height and width in pixels."""
    fit: Fit

    def pixels(self) -> Pixels:
        """Return the pictures; see ``PixelSource``."""
        found = np.empty((len(self.pictures), *self.size, 3), np.uint8)

        def decode(picture: Picture) -> Pixels:
            return decode_verified(picture, self.size, self.fit)

        threads = threads_for(self.pictures[0].place, on_disk=1)
        for place, pixels in enumerate(in_order(decode, self.pictures, threads)):
            found[place] = pixels
        return found


@dataclass(frozen=True)
class GivenPixels:
    """Pictures that are sent along."""

    array: Pixels

    def pixels(self) -> Pixels:
        """Return the pictures; see ``PixelSource``."""
        return self.array


@dataclass(frozen=True, eq=False)
class StreamedPictures:
    """Pictures like an array, which are decoded anew each time that they are asked for."""

    pictures: Sequence[Picture]
    size: tuple[int, int]
    """Height and width in pixels."""
    fit: Fit

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, height, width, 3)``."""
        return (len(self.pictures), *self.size, 3)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """The type of the pixels."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, places: int | slice | npt.NDArray[np.integer]) -> Pixels:
        """Decode pictures.

        Returns:
            uint8 ``(n, height, width, 3)``, or ``(height, width, 3)`` of a single place.

        Raises:
            DataError: A picture is gone or was changed.
        """
        if isinstance(places, int | np.integer):
            return decode_verified(self.pictures[operator.index(places)], self.size, self.fit)
        chosen = np.arange(len(self))[places]
        found = np.empty((len(chosen), *self.size, 3), np.uint8)
        pictures = [self.pictures[place] for place in chosen]

        def decode(picture: Picture) -> bytes:
            return decode_verified(picture, self.size, self.fit).tobytes()

        threads = threads_for(pictures[0].place) if pictures else 1
        for place, pixels in enumerate(in_batches(decode, pictures, threads=threads)):
            found[place] = np.frombuffer(pixels, np.uint8).reshape(found.shape[1:])
        return found

    def source(self, start: int, stop: int) -> DecodedPixels:
        """Return a shard for another process."""
        return DecodedPixels(tuple(self.pictures[start:stop]), self.size, self.fit)


@runtime_checkable
class PixelStream(Protocol):
    """Pictures like an array that is stored nowhere."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, height, width, 3)``."""

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """The type of the pixels."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice | npt.NDArray[np.integer], /) -> Pixels: ...

    def source(self, start: int, stop: int) -> PixelSource:
        """Return a shard for another process."""


ManyPixels: TypeAlias = Pixels | PixelStream
"""uint8 ``(n, height, width, 3)``."""


def pixel_source(pictures: ManyPixels, start: int, stop: int) -> PixelSource:
    """Return some pictures of many as another process takes them.

    Args:
        pictures: All of them. Those of a memory map are read from its file.
        start: The first one.
        stop: The one behind the last.
    """
    if isinstance(pictures, PixelStream):
        return pictures.source(start, stop)
    if isinstance(pictures, np.memmap) and isinstance(pictures.filename, Path | str):
        return MappedPixels(Path(pictures.filename).absolute(), start, stop)
    return GivenPixels(np.asarray(pictures[start:stop]))
