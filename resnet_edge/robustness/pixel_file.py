"""Corrupted pictures in a file that other processes map, only for as long as it is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from resnet_edge.data.decoded import in_batches, write_pixels
from resnet_edge.ondevice.pictures import Pixels
from resnet_edge.robustness.corrupting import corrupt
from resnet_edge.robustness.corruptions import Corruption


@contextlib.contextmanager
def corrupted_pixels(
    pixels: Pixels,
    hashes: Sequence[str],
    corruption: Corruption,
    cache: Path,
) -> Iterator[Path]:
    """Corrupt pictures into a file, which is deleted in the end.

    Five corruptions kept would be five more copies of the test split.

    Args:
        pixels: The pictures: uint8 ``(n, height, width, 3)``.
        hashes: SHA-256 of their n files.
        corruption: The way to corrupt them.
        cache: Folder for the file.

    Yields:
        A ``.npy`` file of the same shape.

    Raises:
        OutputError: The file cannot be written.
    """

    def corrupted(place: int) -> bytes:
        return corrupt(pixels[place], hashes[place], corruption).tobytes()

    path = cache / f"corrupted-{corruption.value}.npy"
    try:
        write_pixels(path, pixels.shape, in_batches(corrupted, range(len(pixels))))
        yield path.resolve()
    finally:
        path.unlink(missing_ok=True)
