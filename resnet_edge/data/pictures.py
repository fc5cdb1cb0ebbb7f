"""Pictures that were found to be whole: one, and a million in columns of about 130 bytes each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from resnet_edge.data.address import Source
from resnet_edge.data.place_columns import GrowingPlaces, PlaceColumns
from resnet_edge.data.places import Place
from resnet_edge.data.texts import GrowingTexts, TextColumn, join_columns
from resnet_edge.data.views import View, all_rows

HASH_BYTES = 32
"""Bytes of a SHA-256."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that was found to be whole."""

    place: Place
    """Where its bytes are."""
    name: str
    """Path relative to the data's root with forward slashes, for instance ``cat/1.jpg``."""
    label: int
    """Index into the labels."""
    sha256: str
    """Hash of the file's bytes, hexadecimal."""


@dataclass(frozen=True, eq=False, slots=True)
class PictureColumns:
    """The fields of many pictures."""

    names: TextColumn
    places: PlaceColumns
    labels: npt.NDArray[np.int32]
    """``(n,)``."""
    hashes: npt.NDArray[np.uint8]
    """Their SHA-256, ``(n, 32)``."""

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, row: int) -> Picture:
        """Make the picture of a row."""
        name = self.names.at(row)
        sha256 = self.hashes[row].tobytes().hex()
        return Picture(self.places.at(row, name), name, int(self.labels[row]), sha256)


class Pictures(View[Picture]):
    """Pictures as a sequence; a slice or a choice of them is one as well and shares its columns."""

    __slots__ = ("_columns",)

    def __init__(self, columns: PictureColumns, rows: npt.NDArray[np.int64] | None = None) -> None:
        super().__init__(all_rows(len(columns)) if rows is None else rows)
        self._columns = columns

    @property
    def columns(self) -> PictureColumns:
        """See ``View``."""
        return self._columns

    def _choose(self, rows: npt.NDArray[np.int64]) -> Self:
        return type(self)(self._columns, rows)

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """Class of each, ``(n,)``."""
        return self._columns.labels[self.rows]

    @property
    def hashes(self) -> npt.NDArray[np.uint8]:
        """SHA-256 of each, ``(n, 32)``."""
        return self._columns.hashes[self.rows]

    def names(self) -> Iterator[str]:
        """Yield the name of each."""
        return map(self._columns.names.at, self.rows.tolist())

    def place_keys(self) -> Iterator[str]:
        """Yield what ``places.place_key`` returns of each one's place."""
        return map(self._columns.places.key, self.rows.tolist(), self.names())

    def archives(self) -> set[Source]:
        """Return the archives that hold some of them."""
        return {
            home.where
            for home in self._columns.places.used_homes(self.rows)
            if not isinstance(home.where, str)
        }

    def __add__(self, other: Sequence[Picture]) -> Pictures:
        """Return these pictures and others behind them."""
        more = pictures_of(other)
        if not len(more):
            return self
        if not len(self):
            return more
        one, two = self._columns, more.columns
        if one is two:
            return Pictures(one, np.concatenate([self.rows, more.rows]))
        both = PictureColumns(
            join_columns([one.names, two.names]),
            one.places.join(two.places),
            np.concatenate([one.labels, two.labels]),
            np.concatenate([one.hashes, two.hashes]),
        )
        return Pictures(both, np.concatenate([self.rows, more.rows + len(one)]))


def pictures_of(pictures: Sequence[Picture]) -> Pictures:
    """Put pictures into columns; those that are in columns already stay as they are.

    Raises:
        ValueError: A hash is not 64 hexadecimal digits.
        OverflowError: A label is not within 32 bits.
    """
    if isinstance(pictures, Pictures):
        return pictures
    names, places, labels, hashes = GrowingTexts(), GrowingPlaces(), array("i"), bytearray()
    for picture in pictures:
        names.append(picture.name)
        places.append(picture.place, picture.name)
        labels.append(picture.label)
        hashes += hash_bytes(picture.sha256)
    return Pictures(
        PictureColumns(
            names.column(),
            places.columns(),
            np.array(labels, np.int32),
            np.frombuffer(bytes(hashes), np.uint8).reshape(-1, HASH_BYTES),
        )
    )


def hash_bytes(sha256: str) -> bytes:
    """Return the 32 bytes of a SHA-256.

    Raises:
        ValueError: It is not 64 hexadecimal digits.
    """
    data = bytes.fromhex(sha256)
    if len(data) != HASH_BYTES or data.hex() != sha256:
        raise ValueError(f"{sha256[:70]!a} is no SHA-256; expected {2 * HASH_BYTES} digits 0 to f")
    return data


def number_hashes(*of: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.int64]]:
    """Number SHA-256 hashes in ascending order, the same one with the same number.

    Args:
        of: Hashes, each ``(n, 32)``.

    Returns:
        The number of each hash, int64 ``(n,)`` for each argument; all below the sum of their n.
    """
    words = np.ascontiguousarray(np.concatenate(of)).view(">u8").astype(np.uint64)
    order = np.lexsort(words.T[::-1])
    ordered = words[order]
    new = np.ones(len(order), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(new) - 1
    return np.split(numbers, np.cumsum([len(hashes) for hashes in of])[:-1])
