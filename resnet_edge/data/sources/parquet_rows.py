"""Pictures in rows of Parquet files. A file is read by row groups, of which a few are kept."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from resnet_edge.data.address import Address, Source
from resnet_edge.data.stores import Stamp, opened
from resnet_edge.errors import DataError, RuntimeMissingError
from resnet_edge.ondevice.reading import refusing

PICTURE_COLUMNS = ("image", "img", "picture", "photo", "image_bytes", "jpg", "png")
"""Names of columns of pictures, the likeliest first."""

_KEPT_BYTES = 256 << 20
"""Pictures of row groups that are kept in memory; the last group is kept whatever its size."""

_BLOCK_BYTES = 1 << 16
"""Bytes that are fetched beyond what pyarrow asks of a store: it asks for whole columns."""

_MOST_BYTES = 1 << 31
"""Pictures of a row group that is read."""

_kept: OrderedDict[tuple[Source, int, Stamp | None], Any] = OrderedDict()
_lock = threading.Lock()


@contextlib.contextmanager
def open_parquet(source: Source) -> Iterator[Any]:
    """Open a Parquet file: ``pyarrow.parquet.ParquetFile``.

    Raises:
        RuntimeMissingError: pyarrow is not installed.
        DataError: It is no Parquet file, is damaged, or cannot be read.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as problem:
        raise RuntimeMissingError(
            f"{source}: pyarrow, which reads Parquet, is not installed; run `pip install pyarrow`",
            "pyarrow",
        ) from problem

    def refusal(reason: str) -> DataError:
        return DataError(
            f"{source}: cannot be read as Parquet ({reason}); expected a whole Parquet file; copy "
            "it again"
        )

    with refusing(refusal):
        if not isinstance(source, Address):
            with pq.ParquetFile(source, page_checksum_verification=True) as file:
                yield file
            return
        stream = opened(source, _BLOCK_BYTES)
        with (
            stream as stored,
            pq.ParquetFile(stored, pre_buffer=True, page_checksum_verification=True) as file,
        ):
            yield file


def picture_column(file: Any) -> str:  # noqa: ANN401 - pyarrow has no types
    """Return the leaf column of the pictures' bytes: ``image.bytes``, ``image``; empty without one.

    Args:
        file: A ``pyarrow.parquet.ParquetFile``.
    """
    schema = file.schema
    leaves = {schema.column(i).path: schema.column(i) for i in range(len(schema.names))}
    binary = [
        path
        for path, column in leaves.items()
        if column.physical_type == "BYTE_ARRAY" and column.logical_type.type == "NONE"
    ]
    names = (*PICTURE_COLUMNS, *(path.removesuffix(".bytes") for path in binary))
    wanted = (path for name in names for path in (f"{name}.bytes", name))
    return next((path for path in wanted if path in binary), "")


def read_row(source: Source, group: int, row: int, stamp: Stamp | None) -> bytes:
    """Read the picture of a row.

    Args:
        source: The Parquet file.
        group: The row group.
        row: The row within it.
        stamp: The file's version: of another one nothing kept is used.

    Raises:
        ValueError: There is no such row, or no picture in it.
        DataError: The file cannot be read.
        RuntimeMissingError: pyarrow is not installed.
    """
    values = _group(source, group, stamp)
    data = values[row].as_py() if row < len(values) else None
    if not isinstance(data, bytes):
        raise ValueError(f"row {row} of row group {group} has no bytes")
    return data


def _group(source: Source, group: int, stamp: Stamp | None) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a row group's pictures as an array of pyarrow, read or kept."""
    with _lock:  # one thread reads, the others find what it has read
        key = (source, group, stamp)
        if key not in _kept:
            with open_parquet(source) as file:
                _kept[key] = _read_group(file, group)
            while len(_kept) > 1 and sum(kept.nbytes for kept in _kept.values()) > _KEPT_BYTES:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def _read_group(file: Any, group: int) -> Any:  # noqa: ANN401 - pyarrow has no types
    column = picture_column(file)
    if not column or group >= file.num_row_groups:
        raise ValueError(f"no column of pictures, or no row group {group}")
    metadata = file.metadata.row_group(group)
    sizes = [metadata.column(i) for i in range(metadata.num_columns)]
    claimed = sum(c.total_uncompressed_size for c in sizes if c.path_in_schema == column)
    if claimed > _MOST_BYTES:
        raise ValueError(
            f"row group {group} has {claimed:,} bytes; expected at most {_MOST_BYTES:,}: write the "
            "file again with smaller row groups"
        )
    values = file.read_row_group(group, columns=[column]).column(0)
    return values.combine_chunks().field("bytes") if "." in column else values
