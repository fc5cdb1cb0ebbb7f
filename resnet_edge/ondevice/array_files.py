"""Arrays in ``.npy`` and ``.npz`` files, whose headers are held against the file's size first.

A header may claim any shape; NumPy would allocate it before it finds that the file is shorter.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

HASHED = 64
"""Number of pictures whose pixels are hashed at once."""

_KINDS = "biuf"
"""Kinds of numbers: truth values, integers, floats."""


def read_array(stream: BinaryIO, size_bytes: int) -> np.ndarray:
    """Read an array of numbers; call it within ``resnet_edge.ondevice.reading.refusing``.

    Args:
        stream: A file in ``.npy`` format, at its start; it can be rewound.
        size_bytes: Its size.

    Raises:
        ValueError: It holds no numbers, or its header claims more or less than there is.
    """
    check_header(stream, size_bytes)
    stream.seek(0)
    array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def map_array(path: Path) -> np.ndarray:
    """Map an array of numbers from disk, read-only.

    Raises:
        ValueError: As ``read_array``; damaged headers raise other errors too.
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        check_header(stream, path.stat().st_size)
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def read_member_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read a member of an ``.npz`` file.

    Args:
        archive: The file, opened as the zip it is.
        name: The array's name, without ``.npy``.

    Raises:
        KeyError: There is no such member.
        ValueError: As ``read_array``, or it is compressed, which none of ours is.
    """
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with archive.open(info) as stream:
        return read_array(stream, info.file_size)  # type: ignore[arg-type]  # a reader of bytes


def check_header(stream: BinaryIO, size_bytes: int) -> None:
    """Compare the header of a ``.npy`` file with the file's size, before anything is allocated.

    Raises:
        ValueError: It holds no numbers, or its header claims more or less than there is.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"an array file of version {version[0]}.{version[1]}")
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded, since pickles can run code")
    if dtype.kind not in _KINDS:
        raise ValueError(f"an array of {dtype}; expected numbers")
    if any(side < 0 for side in shape):
        raise ValueError(f"an array of shape {shape}")
    claimed, there = math.prod(shape) * dtype.itemsize, size_bytes - stream.tell()
    if claimed != there:
        raise ValueError(
            f"an array of {dtype} {shape}, which takes {claimed:,} bytes; it has {there:,}"
        )


def hash_pixels(pixels: np.ndarray) -> str:
    """Return the SHA-256 of all pixels in order, in hexadecimal; the array may be mapped."""
    digest = hashlib.sha256()
    for start in range(0, len(pixels), HASHED):
        digest.update(np.ascontiguousarray(pixels[start : start + HASHED]).tobytes())
    return digest.hexdigest()
