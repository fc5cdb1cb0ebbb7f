"""Pixels of many pictures, decoded once and kept on disk for every step that needs them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from resnet_edge.data.dataset import read_verified
from resnet_edge.data.picture_check import decoder
from resnet_edge.data.pictures import Picture, pictures_of
from resnet_edge.data.places import is_stored
from resnet_edge.data.workers import WORKERS, room_for, threads_for
from resnet_edge.errors import FREE_SPACE, DataError, OutputError
from resnet_edge.ondevice.array_files import map_array
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.pictures import Pixels, decode_bytes
from resnet_edge.ondevice.reading import refusing
from resnet_edge.scale.running import Count

T = TypeVar("T")

_BATCH = 64
"""Pictures in memory at once."""

_METHOD = 1
"""Raise it when ``resnet_edge.ondevice.pictures`` begins to give other pixels."""


def decode_pictures(
    pictures: Sequence[Picture],
    size: tuple[int, int],
    fit: Fit,
    cache: Path,
    progress: Count | None = None,
) -> Pixels:
    """Decode pictures, or take the pixels from the cache.

    The cache file is named by the pictures' hashes in their order, size, fit and Pillow's
    version.
    It is written beside its place, then renamed: after ``kill -9`` there is the whole file or none.

    Args:
        pictures: In the order of the result.
        size: Height and width in pixels.
        fit: Way to bring pictures to that size.
        cache: Folder for ``decoded-KEY.npy``; made where it is missing.
        progress: Called after each picture with done and total; not at all where nothing is to do.

    Returns:
        uint8 array (pictures, height, width, 3), RGB, range [0, 255], read-only, mapped from disk.

    Raises:
        DataError: A picture is gone or is another than was hashed.
        OutputError: The cache cannot be written.
    """
    shape = (len(pictures), *size, 3)
    if not pictures:
        return np.zeros(shape, np.uint8)
    path = decoded_path(pictures, size, fit, cache)
    if (pixels := _load(path, shape)) is not None:
        _check_unchanged(pictures, path)
        return pixels
    write_pixels(path, shape, _decoded(pictures, size, fit, progress))
    written = _load(path, shape)
    if written is None:
        raise OutputError(f"{path}: not as it was just written; check the disk, then run again")
    return written


def decoded_path(pictures: Sequence[Picture], size: tuple[int, int], fit: Fit, cache: Path) -> Path:
    """Return the file that ``decode_pictures`` keeps these pixels in, for other processes."""
    return cache / f"decoded-{_key(pictures, size, fit)}.npy"


def _key(pictures: Sequence[Picture], size: tuple[int, int], fit: Fit) -> str:
    digest = hashlib.sha256(f"{_METHOD} {decoder()} {size} {fit.value}".encode())
    digest.update(pictures_of(pictures).hashes.tobytes())
    return digest.hexdigest()[:16]


def _load(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    try:
        with refusing(DataError):
            pixels = map_array(path)
    except DataError:  # missing or damaged: it is written again
        return None
    return pixels if pixels.shape == shape and pixels.dtype == np.uint8 else None


def _check_unchanged(pictures: Sequence[Picture], cached: Path) -> None:
    """Hash again what was written after the cache, as ``make`` would."""
    cached_ns = cached.stat().st_mtime_ns
    for picture in pictures:
        if is_stored(picture.place):
            continue  # a store is not asked for each: the pixels are those of the hash
        stamp = picture.place.stamp()
        if stamp is None or stamp.time_ns >= cached_ns:
            read_verified(picture)


def write_pixels(path: Path, shape: tuple[int, ...], pictures: Iterable[bytes]) -> None:
    """Write the pixels of pictures as a ``.npy`` file: all of it or nothing.

    Args:
        path: The file; its folder is made where it is missing.
        shape: ``(pictures, height, width, 3)``.
        pictures: The pixels of each picture, in order.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, shape, pictures)
    except OSError as problem:
        raise OutputError(
            f"{path}: cannot be written ({problem.strerror}); {FREE_SPACE}"
        ) from problem


def _write(path: Path, shape: tuple[int, ...], pictures: Iterable[bytes]) -> None:
    # Opened without truncation: whoever writes this name, now or before it was killed, writes the
    # same bytes at the same places. So two processes do not disturb each other, and nothing stays.
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_header(shape))
            for pixels in pictures:
                file.write(pixels)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except FileNotFoundError:
        if not path.exists():  # else another process was faster, with the same bytes
            raise
    except (OSError, DataError):
        part.unlink(missing_ok=True)
        raise


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def _decoded(
    pictures: Sequence[Picture],
    size: tuple[int, int],
    fit: Fit,
    progress: Count | None,
) -> Iterator[bytes]:
    def decode(picture: Picture) -> bytes:
        return decode_verified(picture, size, fit).tobytes()

    yield from in_batches(decode, pictures, progress, threads_for(pictures[0].place))


def decode_verified(picture: Picture, size: tuple[int, int], fit: Fit) -> Pixels:
    """Decode one picture: uint8 ``(height, width, 3)``.

    Raises:
        DataError: It is gone or is another than was hashed.
    """
    data = read_verified(picture)
    with room_for(data, picture.name):
        return decode_bytes(data, picture.name, size, fit)


def in_batches(
    pixels_of: Callable[[T], bytes],
    pictures: Sequence[T],
    progress: Count | None = None,
    threads: int = WORKERS,
) -> Iterator[bytes]:
    """Compute the pixels of pictures with threads, a few pictures in memory at a time.

    Args:
        pixels_of: Computes the pixels of one picture.
        pictures: In order.
        progress: Called after each picture with done and total.
        threads: How many; by default one a core.
    """
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(pictures), _BATCH):
            for pixels in pool.map(pixels_of, pictures[start : start + _BATCH]):
                yield pixels
                done += 1
                if progress is not None:
                    progress(done, len(pictures))
