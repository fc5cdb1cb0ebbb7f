"""Corrupted pictures in a file that other processes map, only for as long as it is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from resnet_edge.data.decoded import in_batches, write_pixels
from resnet_edge.data.pixel_source import ManyPixels, PixelStream
from resnet_edge.data.pixel_stage import PixelFile, write_in_shards
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.files import digest
from resnet_edge.robustness.corrupted_source import CorruptedStream
from resnet_edge.robustness.corrupting import METHOD, corrupt
from resnet_edge.robustness.corruptions import Corruption
from resnet_edge.scale.running import HERE, Computing


@contextlib.contextmanager
def corrupted_pixels(
    pixels: ManyPixels,
    hashes: Sequence[str],
    corruption: Corruption,
    cache: Path,
    computing: Computing = HERE,
) -> Iterator[ManyPixels]:
    """Corrupt pictures into a file, which is deleted in the end.

    Five corruptions kept would be five more copies of the test split. Pictures that are too many to
    be stored are corrupted where they are needed.

    Args:
        pixels: The pictures: uint8 ``(n, height, width, 3)``.
        hashes: SHA-256 of their n files.
        corruption: The way to corrupt them.
        cache: Folder for the file.
        computing: Who corrupts.

    Yields:
        The corrupted pictures, of the same shape, mapped from a ``.npy`` file.

    Raises:
        OutputError: The file cannot be written.
    """
    stream = CorruptedStream(pixels, hashes, corruption)
    if isinstance(pixels, PixelStream):
        yield stream
        return

    def corrupted(place: int) -> bytes:
        return corrupt(pixels[place], hashes[place], corruption).tobytes()

    path = cache / f"corrupted-{corruption.value}.npy"
    try:
        if computing.engine.starters:
            key = digest(METHOD, corruption, tuple(hashes))
            file = PixelFile(path, pixels.shape, key, f"pictures under {corruption.value}")
            write_in_shards(file, stream.source, computing, lambda *_: None)
        else:
            write_pixels(path, pixels.shape, in_batches(corrupted, range(len(pixels))))
        yield map_array(path)
    finally:
        path.unlink(missing_ok=True)
