"""Very many pictures in a Parquet file, which is read in seconds where JSON takes minutes.

A row is a picture. Its place is told by ``kind``, ``where``, ``first``, ``second`` and ``ending``
(``resnet_edge.data.place_columns``); below
the root, ``where`` begins with a dot in the root's stead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from resnet_edge.data.address import Source, parse_source, source_text
from resnet_edge.data.names import LONGEST_PART
from resnet_edge.data.pictures import HASH_BYTES, PictureColumns, Pictures, pictures_of
from resnet_edge.data.place_columns import Home, PlaceColumns, PlaceKind
from resnet_edge.data.texts import TextColumn, join_columns
from resnet_edge.errors import DataError, OutputError, RuntimeMissingError
from resnet_edge.ondevice.files import write_file
from resnet_edge.ondevice.reading import refusing

_GROUP = 1 << 16
"""Rows of a row group: what is in memory at once."""


@dataclass(frozen=True)
class RootedPictures:
    """Pictures, and what their names are relative to."""

    pictures: Pictures
    root: Source


def write_pictures(path: Path, sides: Sequence[RootedPictures]) -> None:
    """Write pictures, at least one, those of one side after those of another.

    Raises:
        RuntimeMissingError: pyarrow is not installed.
        OutputError: It cannot be written.
    """
    pa, pq = _pyarrow(path)

    def write(file: BinaryIO) -> None:
        schema = _table(pa, pictures_of(()), Path()).schema
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for side in sides:
                for start in range(0, len(side.pictures), _GROUP):
                    some = side.pictures[start : start + _GROUP]
                    writer.write_table(_table(pa, some, side.root))

    try:
        write_file(path, write)
    except UnicodeEncodeError as problem:
        around = problem.object[max(0, problem.start - 20) : problem.end + 20]
        raise OutputError(
            f"{path}: a name in it is no Unicode text ({around!a}); rename that file or folder"
        ) from problem


def read_pictures(
    path: Path, roots: Sequence[Source], counts: Sequence[int]
) -> tuple[Pictures, ...]:
    """Read pictures that ``write_pictures`` wrote.

    Args:
        path: The file.
        roots: What names are relative to, of each side.
        counts: Number of pictures of each side.

    Raises:
        RuntimeMissingError: pyarrow is not installed.
        DataError: The file is damaged.
        ValueError: A name is none that a picture has.
    """
    _, pq = _pyarrow(path)

    def refusal(reason: str) -> DataError:
        return DataError(f"{path}: cannot be read as Parquet ({reason}); run finetune again")

    with refusing(refusal), pq.ParquetFile(path, read_dictionary=["kind", "where"]) as file:
        if file.metadata.num_rows != sum(counts):
            raise ValueError(f"{file.metadata.num_rows:,} rows; expected {sum(counts):,}")
        parts = [_Part(file.read_row_group(i)) for i in range(file.metadata.num_row_groups)]
    names = join_columns([part.names for part in parts])
    _check_names(names)
    sides = np.repeat(np.arange(len(counts)), counts)
    columns = PictureColumns(
        names,
        _places(parts, sides, roots),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.hashes for part in parts]),
    )
    every = Pictures(columns)
    ends = np.cumsum(counts)
    return tuple(every[end - count : end] for end, count in zip(ends, counts, strict=True))


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as problem:
        raise RuntimeMissingError(
            f"{path}: pyarrow, which keeps lists of very many pictures, is not installed; run "
            "`pip install pyarrow`",
            "pyarrow",
        ) from problem
    return pa, pq


def _table(pa: Any, pictures: Pictures, root: Source) -> Any:  # noqa: ANN401 - it has no types
    """Return the rows of a few pictures."""
    rows, places = pictures.rows, pictures.columns.places
    used, home = np.unique(places.home[rows], return_inverse=True)
    homes, start = [places.homes[number] for number in used], source_text(root)
    hashes = pa.py_buffer(np.ascontiguousarray(pictures.hashes))
    binary = pa.binary(HASH_BYTES)
    columns = {
        "name": _strings(pa, pictures.names()),
        "label": pa.array(pictures.labels),
        "sha256": pa.FixedSizeBinaryArray.from_buffers(binary, len(rows), [None, hashes]),
        "kind": _strings(pa, [each.kind.value for each in homes]).take(home),
        "where": _strings(pa, [_relative(each, start) for each in homes]).take(home),
        "first": pa.array(places.first[rows]),
        "second": pa.array(places.second[rows]),
        "ending": _strings(pa, map(places.endings.at, rows.tolist())),
    }
    return pa.table(columns)


def _strings(pa: Any, texts: Iterator[str] | list[str]) -> Any:  # noqa: ANN401
    return pa.array([text.encode() for text in texts], pa.large_binary()).cast(pa.large_string())


def _relative(home: Home, root: str) -> str:
    """Return where a home is; below the root with a dot in its stead."""
    key = home.where if isinstance(home.where, str) else source_text(home.where)
    below = key.removeprefix(root)
    return f".{below}" if below != key and below[:1] in ("", "/") else key


class _Part:
    """The columns of a row group."""

    def __init__(self, table: Any) -> None:  # noqa: ANN401
        self.names = _texts(table["name"])
        self.labels: npt.NDArray[np.int32] = table["label"].to_numpy()
        hashes = table["sha256"].combine_chunks()
        data = np.frombuffer(hashes.buffers()[1], np.uint8)[hashes.offset * HASH_BYTES :]
        self.hashes = data[: len(hashes) * HASH_BYTES].reshape(-1, HASH_BYTES)
        kinds, where = (table[name].combine_chunks() for name in ("kind", "where"))
        self.kinds: list[str] = kinds.dictionary.to_pylist()
        self.wheres: list[str] = where.dictionary.to_pylist()
        self.kind: npt.NDArray[np.int32] = kinds.indices.to_numpy()
        self.where: npt.NDArray[np.int32] = where.indices.to_numpy()
        self.first: npt.NDArray[np.int64] = table["first"].to_numpy()
        self.second: npt.NDArray[np.int64] = table["second"].to_numpy()
        self.endings = _texts(table["ending"])


def _texts(column: Any) -> TextColumn:  # noqa: ANN401
    strings = column.combine_chunks()
    strings.validate(full=True)
    _, ends, data = strings.buffers()
    offsets = np.frombuffer(ends, np.int64)[strings.offset : strings.offset + len(strings) + 1]
    blob = b"" if data is None else data[int(offsets[0]) : int(offsets[-1])].to_pybytes()
    return TextColumn(blob, offsets - offsets[0])


def _check_names(names: TextColumn) -> None:
    """Refuse names that no system knows, as ``ListedPicture`` does."""
    data = np.frombuffer(names.blob, np.uint8)
    begins = np.zeros(len(data) + 1, bool)
    begins[1:] = data == ord("/")
    begins[names.ends] = True
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts) - (data[starts[1:] - 1] == ord("/"))
    if lengths.max(initial=0) > LONGEST_PART or (data == 0).any():
        raise ValueError("a name that no picture has")


def _places(
    parts: Sequence[_Part], sides: npt.NDArray[np.int64], roots: Sequence[Source]
) -> PlaceColumns:
    numbers: dict[Home, int] = {}
    home = np.empty(len(sides), np.int32)
    start = 0
    for part in parts:
        end = start + len(part.kind)
        shape = (len(roots), len(part.kinds), len(part.wheres), 2)
        named = (part.endings.lengths == 0).astype(np.int64)
        codes = np.ravel_multi_index((sides[start:end], part.kind, part.where, named), shape)
        used, inverse = np.unique(codes, return_inverse=True)
        found = [
            numbers.setdefault(
                _home(roots[side], part.kinds[kind], part.wheres[where], bool(plain)), len(numbers)
            )
            for side, kind, where, plain in np.stack(np.unravel_index(used, shape), 1).tolist()
        ]
        home[start:end] = np.array(found, np.int32)[inverse]
        start = end
    return PlaceColumns(
        tuple(numbers),
        home,
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        join_columns([part.endings for part in parts]),
    )


def _home(root: Source, kind: str, where: str, named: bool) -> Home:
    """Return the home that ``_relative`` made a text of."""
    found, key = PlaceKind(kind), where
    if where.startswith("."):
        key = f"{source_text(root)}{where[1:]}"
    return Home(found, key if found.is_alone else parse_source(key), named)
