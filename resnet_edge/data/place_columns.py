"""Places of many pictures in columns: what they share stands once, such as a folder or an archive.

Of a picture in a folder only its name is left, which is kept anyway.
"""

from __future__ import annotations

import enum
from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from resnet_edge.data.address import Address, Source, source_text
from resnet_edge.data.places import FilePlace, ObjectPlace, Place, RangePlace, RowPlace
from resnet_edge.data.stores import Stamp, stamp_of
from resnet_edge.data.texts import GrowingTexts, TextColumn, join_columns


class PlaceKind(enum.Enum):
    """The kind of a place."""

    FILE = "file"
    OBJECT = "object"
    BYTES = "bytes"
    ROW = "row"

    @property
    def is_alone(self) -> bool:
        """True if a picture is a file of its own, not a part of an archive."""
        return self in (PlaceKind.FILE, PlaceKind.OBJECT)


@dataclass(frozen=True, slots=True)
class Home:
    """All that places of one kind share."""

    kind: PlaceKind
    where: str | Source
    """Of files and objects the start of their path or address, up to a slash; else the archive."""
    named: bool
    """True if a picture's name completes the path; else the column of endings does."""
    version: Stamp | None = None
    """The archive's. Of objects, None where the store told none, and else whether it is settled:
    their sizes and times are columns."""


@dataclass(frozen=True, eq=False, slots=True)
class PlaceColumns:
    """Places, without the names of their pictures."""

    homes: tuple[Home, ...]
    home: npt.NDArray[np.int32]
    """Index of each place's home, ``(n,)``."""
    first: npt.NDArray[np.int64]
    """The first byte of a range, the row group, the size of an object; ``(n,)``."""
    second: npt.NDArray[np.int64]
    """The number of bytes, the row in its group, the time of an object; ``(n,)``."""
    endings: TextColumn

    def __len__(self) -> int:
        return len(self.home)

    def key(self, row: int, name: str) -> str:
        """Return what ``places.place_key`` returns of a place."""
        home: Home = self.homes[self.home[row]]
        match home.kind:
            case PlaceKind.BYTES:
                archive = source_text(self._archive(home))
                return f"{archive}#bytes={self.first[row]}+{self.second[row]}"
            case PlaceKind.ROW:
                archive = source_text(self._archive(home))
                return f"{archive}#row={self.first[row]}.{self.second[row]}"
            case PlaceKind.FILE | PlaceKind.OBJECT:
                return f"{home.where}{name if home.named else self.endings.at(row)}"

    def at(self, row: int, name: str) -> Place:
        """Return the place of a picture.

        Args:
            row: Its row.
            name: Its name.
        """
        home: Home = self.homes[self.home[row]]
        first, second = int(self.first[row]), int(self.second[row])
        match home.kind:
            case PlaceKind.FILE:
                return FilePlace(Path(self.key(row, name)))
            case PlaceKind.OBJECT:
                version = home.version and replace(home.version, size=first, time_ns=second)
                return ObjectPlace(Address(self.key(row, name)), version)
            case PlaceKind.BYTES:
                return RangePlace(self._archive(home), first, second, home.version)
            case PlaceKind.ROW:
                return RowPlace(self._archive(home), first, second, home.version)

    def stamp(self, row: int, name: str) -> Stamp | None:
        """Return what ``stamp`` of the place returns."""
        if self.homes[self.home[row]].kind is PlaceKind.FILE:
            return stamp_of(self.key(row, name))
        return self.at(row, name).stamp()

    @staticmethod
    def _archive(home: Home) -> Source:
        assert not isinstance(home.where, str)
        return home.where

    def used_homes(self, rows: npt.NDArray[np.int64]) -> list[Home]:
        """Return the homes of some rows, each once."""
        return [self.homes[number] for number in np.unique(self.home[rows])]

    def join(self, other: Self) -> PlaceColumns:
        """Return these places and others behind them."""
        return PlaceColumns(
            (*self.homes, *other.homes),
            np.concatenate([self.home, other.home + np.int32(len(self.homes))]),
            np.concatenate([self.first, other.first]),
            np.concatenate([self.second, other.second]),
            join_columns([self.endings, other.endings]),
        )


class GrowingPlaces:
    """Takes places one after another."""

    def __init__(self) -> None:
        self._numbers: dict[Home, int] = {}
        self._home, self._first, self._second = array("i"), array("q"), array("q")
        self._endings = GrowingTexts()

    def append(self, place: Place, name: str) -> None:
        """Take the place of a picture of this name."""
        home, first, second, ending = _parts(place, name)
        self._home.append(self._numbers.setdefault(home, len(self._numbers)))
        self._first.append(first)
        self._second.append(second)
        self._endings.append(ending)

    def columns(self) -> PlaceColumns:
        """Return all of them."""
        return PlaceColumns(
            tuple(self._numbers),
            np.array(self._home, np.int32),
            np.array(self._first, np.int64),
            np.array(self._second, np.int64),
            self._endings.column(),
        )


def _parts(place: Place, name: str) -> tuple[Home, int, int, str]:
    match place:
        case FilePlace(path):
            where, ending = _start(str(path), name)
            return Home(PlaceKind.FILE, where, not ending), 0, 0, ending
        case ObjectPlace(address, version):
            where, ending = _start(address.url, name)
            home = Home(
                PlaceKind.OBJECT, where, not ending, version and Stamp(0, 0, version.settled)
            )
            if version is None:
                return home, 0, 0, ending
            return home, version.size, version.time_ns, ending
        case RangePlace(archive, offset, size, version):
            return Home(PlaceKind.BYTES, archive, True, version), offset, size, ""
        case RowPlace(archive, group, row, version):
            return Home(PlaceKind.ROW, archive, True, version), group, row, ""


def _start(key: str, name: str) -> tuple[str, str]:
    """Divide a path into the folder and what the name does not tell: nothing, or the path's end."""
    start = key.removesuffix(name)
    if start != key and (not start or start.endswith("/")):
        return start, ""
    folder, slash, last = key.rpartition("/")
    return (folder + slash, last) if last else ("", key)
