"""The pixels of many pictures, on disk or decoded where they are needed, and a shard of them.

A process is told where its pictures come from instead of being sent arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from resnet_edge.data.checking import OnPicture
from resnet_edge.data.dataset import Picture
from resnet_edge.data.decoded import decode_pictures, decode_verified, in_batches
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.pictures import Pixels
from resnet_edge.scale.shared_files import shared_file

MOST_DECODED_BYTES = 4 << 30
"""Pixels beyond this are not stored: ImageNet's at 224 x 224 would be 193 GB."""


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
        for place, picture in enumerate(self.pictures):
            found[place] = decode_verified(picture, self.size, self.fit)
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

        for place, pixels in enumerate(in_batches(decode, pictures)):
            found[place] = np.frombuffer(pixels, np.uint8).reshape(found.shape[1:])
        return found

    def source(self, start: int, stop: int) -> DecodedPixels:
        """Return a shard for another process."""
        return DecodedPixels(tuple(self.pictures[start:stop]), self.size, self.fit)


ManyPixels: TypeAlias = Pixels | StreamedPictures
"""uint8 ``(n, height, width, 3)``."""


def load_pixels(
    pictures: Sequence[Picture],
    size: tuple[int, int],
    fit: Fit,
    cache: Path,
    progress: OnPicture | None = None,
    most_bytes: int = MOST_DECODED_BYTES,
) -> ManyPixels:
    """Decode pictures into a file, or let each be decoded where it is needed if they are many.

    Args:
        pictures: In the order of the result.
        size: Height and width in pixels.
        fit: Way to bring pictures to that size.
        cache: Folder for the file.
        progress: Called after each picture that is decoded here.
        most_bytes: The largest file; of more pictures none is written.

    Raises:
        DataError: A picture is gone or is another than was hashed.
        OutputError: The cache cannot be written.
    """
    if len(pictures) * size[0] * size[1] * 3 > most_bytes:
        return StreamedPictures(pictures, size, fit)
    return decode_pictures(pictures, size, fit, cache, progress)


def pixel_source(pictures: ManyPixels, start: int, stop: int) -> PixelSource:
    """Return some pictures of many as another process takes them.

    Args:
        pictures: All of them. Those of a memory map are read from its file.
        start: The first one.
        stop: The one behind the last.
    """
    if isinstance(pictures, StreamedPictures):
        return pictures.source(start, stop)
    if isinstance(pictures, np.memmap) and isinstance(pictures.filename, Path | str):
        return MappedPixels(Path(pictures.filename).absolute(), start, stop)
    return GivenPixels(np.asarray(pictures[start:stop]))
