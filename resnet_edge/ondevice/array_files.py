"""Arrays in ``.npy`` and ``.npz`` files, whose headers are held against the file's size first.

A header may claim any shape; NumPy would allocate it before it finds that the file is shorter.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from resnet_edge.ondevice.row_blocks import Rows, row_blocks

HASHED = 64
"""Number of pictures whose pixels are hashed at once."""

_KINDS = "biuf"
"""Kinds of numbers: truth values, integers, floats."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Before each member of a zip file: a mark, and at the end the lengths of its name and its extra
field, which follow and stand before the content (APPNOTE.TXT 4.3.7)."""

_REPLACES_OPEN_FILES = os.name != "nt"
"""Windows refuses to replace or remove a file that is mapped."""


@dataclass(frozen=True)
class ArrayHeader:
    """The header of a ``.npy`` file."""

    shape: tuple[int, ...]
    fortran: bool
    """True for columns first."""
    dtype: np.dtype


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
    info = _stored_member(archive, name)
    with archive.open(info) as stream:
        return read_array(stream, info.file_size)  # type: ignore[arg-type]  # a reader of bytes


def map_member_array(file: BinaryIO, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Map a member of an ``.npz`` file, read-only, after its checksum was compared.

    It is read whole where the system does not let a mapped file be replaced.

    Args:
        file: The file on disk, which may be closed afterwards.
        archive: The same, opened as the zip it is.
        name: The array's name, without ``.npy``.

    Returns:
        The array. Its numbers need not be aligned, which only costs time.

    Raises:
        KeyError: There is no such member.
        ValueError: As ``read_member_array``.
    """
    if not _REPLACES_OPEN_FILES:
        return read_member_array(archive, name)
    info = _stored_member(archive, name)
    with archive.open(info) as stream:
        header = check_header(stream, info.file_size)  # type: ignore[arg-type]
        length = stream.tell()
        while stream.read(1 << 20):  # at the end the checksum is compared
            pass
    if not math.prod(header.shape):  # no file can be mapped of nothing
        return np.empty(header.shape, header.dtype)
    file.seek(info.header_offset)
    _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    order = "F" if header.fortran else "C"
    mapped: np.ndarray = np.memmap(
        file,  # type: ignore[call-overload]  # a file on disk has all that is asked for
        header.dtype,
        "r",
        start + length,
        header.shape,
        order,
    )
    return np.asarray(mapped)


def _stored_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    return info


def write_member_array(archive: zipfile.ZipFile, name: str, rows: Rows, dtype: str) -> None:
    """Write a member as ``numpy.savez`` does, byte for byte, a block of rows at a time.

    Args:
        archive: The file.
        name: The array's name, without ``.npy``.
        rows: The array, or what computes its rows.
        dtype: As in the header, for instance ``<f4``.
    """
    header = {"descr": dtype, "fortran_order": False, "shape": rows.shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for _, (block,) in row_blocks(rows):
            stream.write(block.astype(dtype, copy=False).tobytes())


def check_header(stream: BinaryIO, size_bytes: int) -> ArrayHeader:
    """Compare the header of a ``.npy`` file with the file's size, before anything is allocated.

    Raises:
        ValueError: It holds no numbers, or its header claims more or less than there is.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
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
    return ArrayHeader(shape, fortran, dtype)


class Slices(Protocol):
    """An array, in memory, mapped, or made a slice at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice, /) -> np.ndarray: ...


def hash_pixels(pixels: Slices) -> str:
    """Return the SHA-256 of all pixels in order, in hexadecimal."""
    digest = hashlib.sha256()
    for start in range(0, len(pixels), HASHED):
        digest.update(np.ascontiguousarray(pixels[start : start + HASHED]).tobytes())
    return digest.hexdigest()
