"""The pixels of a split: decoded once into a file, or streamed where they are too many for that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnet_edge.data.decoded import decode_pictures, decoded_path
from resnet_edge.data.pictures import Picture
from resnet_edge.data.pixel_source import ManyPixels, StreamedPictures
from resnet_edge.data.pixel_stage import PixelFile, write_in_shards
from resnet_edge.ondevice.fit import Fit
from resnet_edge.scale.running import HERE, Computing, Count

MOST_DECODED_BYTES = 4 << 30
"""Pixels beyond this are not stored: ImageNet's at 224 x 224 would be 193 GB."""


def load_pixels(
    pictures: Sequence[Picture],
    size: tuple[int, int],
    fit: Fit,
    cache: Path,
    progress: Count | None = None,
    *,
    computing: Computing = HERE,
    most_bytes: int = MOST_DECODED_BYTES,
) -> ManyPixels:
    """Decode pictures into a file, or let each be decoded where it is needed if they are many.

    Args:
        pictures: In the order of the result.
        size: Height and width in pixels.
        fit: Way to bring pictures to that size.
        cache: Folder for the file.
        progress: Called with the number of pictures that are decoded, and of all.
        computing: Who decodes.
        most_bytes: The largest file; of more pictures none is written.

    Raises:
        DataError: A picture is gone or is another than was hashed.
        OutputError: The cache cannot be written.
    """
    if len(pictures) * size[0] * size[1] * 3 > most_bytes:
        return StreamedPictures(pictures, size, fit)
    path = decoded_path(pictures, size, fit, cache)
    if computing.engine.starters and pictures and not path.exists():
        file = PixelFile(path, (len(pictures), *size, 3), path.stem, "decoding")
        source = StreamedPictures(pictures, size, fit).source
        write_in_shards(file, source, computing, progress or (lambda *_: None))
    return decode_pictures(pictures, size, fit, cache, progress)
