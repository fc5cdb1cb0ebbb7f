"""Shards of arrays: rows as bytes, put together to one file without holding it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.files import write_file

_BLOCK = 1 << 22


def rows_of(array: npt.NDArray[np.generic]) -> bytes:
    """Return an array's numbers in C order, without a header."""
    return np.ascontiguousarray(array).tobytes()


def join_rows(path: Path, shards: Iterable[Path], shape: tuple[int, ...], dtype: str) -> None:
    """Write the rows of shards as one ``.npy`` file.

    Args:
        path: The file; written beside it and renamed.
        shards: Files of ``rows_of`` in order.
        shape: Of all of them together.
        dtype: As NumPy writes it, for instance ``<f4``.

    Raises:
        OutputError: It cannot be written.
    """

    def write(file: BinaryIO) -> None:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in _blocks(shards):
            file.write(block)

    write_file(path, write)


def _blocks(shards: Iterable[Path]) -> Iterator[bytes]:
    for shard in shards:
        with shard.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
