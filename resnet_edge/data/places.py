"""Places of pictures: a file, an object in a store, a part of an archive, a row of a Parquet file.

A place is small, and any process on any machine can read it alone. Nothing is unpacked or copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.data import stores
from resnet_edge.data.address import Address, Source, parse_source, source_text
from resnet_edge.data.stores import Stamp, stamp_of
from resnet_edge.errors import DataError, PictureError
from resnet_edge.ondevice.picture_kinds import EXPECTED
from resnet_edge.ondevice.pictures import ADVICE, MAX_FILE_BYTES, read_picture

_BYTES = re.compile(r"(.*)#bytes=(\d{1,18})\+(\d{1,18})", re.DOTALL)
_ROW = re.compile(r"(.*)#row=(\d{1,18})\.(\d{1,18})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file on this machine."""

    path: Path
    """Absolute."""

    def __str__(self) -> str:
        return str(self.path)

    @property
    def archive(self) -> None:
        """The file that holds it: none."""
        return None

    def read_bytes(self) -> bytes:
        """Read the picture's file."""
        return self.path.read_bytes()

    def stamp(self) -> Stamp | None:
        """Return the file's size and time; None where it is gone."""
        return stamp_of(self.path)


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An object in a store."""

    address: Address
    version: Stamp | None = field(default=None, compare=False)
    """What the listing told of its version; None where it told nothing."""

    def __str__(self) -> str:
        return str(self.address)

    @property
    def archive(self) -> None:
        """The file that holds it: none."""
        return None

    def read_bytes(self) -> bytes:
        """Read the object."""
        size = 0 if self.version is None else self.version.size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"{size:,} bytes; expected at most {MAX_FILE_BYTES:,}")
        return stores.read_object(self.address)

    def stamp(self) -> Stamp | None:
        """Return what the listing told."""
        return self.version


@dataclass(frozen=True, slots=True)
class RangePlace:
    """Bytes of a file: a member of a tar file, a field of a TFRecord."""

    archive: Source
    """The file that holds them; absolute."""
    offset: int
    """The first byte."""
    size: int
    """Number of bytes."""
    version: Stamp | None = field(default=None, compare=False)
    """What a store told of the archive's version; None of a file on this machine."""

    def __str__(self) -> str:
        return f"{self.archive}, bytes {self.offset:,} to {self.offset + self.size:,}"

    def read_bytes(self) -> bytes:
        """Read these bytes."""
        if self.size > MAX_FILE_BYTES:
            raise ValueError(f"{self.size:,} bytes; expected at most {MAX_FILE_BYTES:,}")
        return stores.read_range(self.archive, self.offset, self.size)

    def stamp(self) -> Stamp | None:
        """Return the number of bytes and the archive's time; None where it is gone."""
        if isinstance(self.archive, Address):
            return self.version
        found = stamp_of(self.archive)
        return found and Stamp(self.size, found.time_ns, found.settled)


@dataclass(frozen=True, slots=True)
class RowPlace:
    """A row of a Parquet file with pictures in it."""

    archive: Source
    """The file; absolute."""
    group: int
    """The row group: the part of the file that is read at once."""
    row: int
    """The row within its group."""
    version: Stamp | None = field(default=None, compare=False)
    """What a store told of the file's version; None of a file on this machine."""

    def __str__(self) -> str:
        return f"{self.archive}, row {self.row} of row group {self.group}"

    def read_bytes(self) -> bytes:
        """Read the row's picture, with its whole row group, which is kept for the next ones."""
        from resnet_edge.data.sources.parquet_rows import read_row  # late: only a user of it pays

        return read_row(self.archive, self.group, self.row, self.stamp())

    def stamp(self) -> Stamp | None:
        """Return the file's size and time; None where it is gone."""
        return self.version if isinstance(self.archive, Address) else stamp_of(self.archive)


Place = FilePlace | ObjectPlace | RangePlace | RowPlace


def is_stored(place: Place) -> bool:
    """Return True if a place is in a store, not on this machine."""
    return isinstance(place, ObjectPlace) or isinstance(place.archive, Address)


def place_key(place: Place) -> str:
    """Return a text that is the place's alone, absolute."""
    match place:
        case FilePlace(path):
            return str(path)
        case ObjectPlace(address):
            return address.url
        case RangePlace(archive, offset, size):
            return f"{source_text(archive)}#bytes={offset}+{size}"
        case RowPlace(archive, group, row):
            return f"{source_text(archive)}#row={group}.{row}"


def place_text(place: Place, root: Source, name: str) -> str:
    """Return a place as ``dataset.json`` has it: relative to the root where it lies below.

    Args:
        place: The picture's place.
        root: The folder or archive that the picture's name is relative to.
        name: The picture's name.

    Returns:
        Empty where the name below the root is the place.
    """
    if place == _below(root, name):
        return ""
    key, start = place_key(place), source_text(root)
    relative = key.removeprefix(start)
    if relative != key and relative.startswith("#"):
        return relative
    return relative[1:] if relative != key and relative.startswith("/") else key


def find_place(text: str, root: Source, name: str) -> Place:
    """Return the place of a text that ``place_text`` made.

    Raises:
        UsageError: It is an address with a password in it.
    """
    if not text:
        return _below(root, name)
    if found := _BYTES.fullmatch(text):
        return RangePlace(_archive(found[1], root), int(found[2]), int(found[3]))
    if found := _ROW.fullmatch(text):
        return RowPlace(_archive(found[1], root), int(found[2]), int(found[3]))
    place = _archive(text, root)
    return ObjectPlace(place) if isinstance(place, Address) else FilePlace(place)


def _below(root: Source, name: str) -> Place:
    return ObjectPlace(root / name) if isinstance(root, Address) else FilePlace(root / name)


def _archive(text: str, root: Source) -> Source:
    if not text:
        return root
    source = parse_source(text)
    return source if isinstance(source, Address) or source.is_absolute() else root / text


def place_words(place: Place, name: str) -> str:
    """Return a picture's place in words that a person finds it by: ``shard-000.tar:cat/1.jpg``.

    Args:
        place: The place.
        name: The picture's name; in an archive among others it begins with the archive's.
    """
    if place.archive is None:
        return str(place)
    return f"{place.archive}:{name.partition(f'{place.archive.name}/')[2] or name}"


def read_place(place: Place, name: str) -> bytes:
    """Read a picture whole.

    Args:
        place: The picture's place.
        name: Its name in messages.

    Raises:
        PictureError: It cannot be read, is empty or absurdly large.
    """
    if isinstance(place, FilePlace):
        return read_picture(place.path, name)
    try:
        data = place.read_bytes()
    except DataError as problem:  # the store's, which names the address
        raise PictureError(str(problem), ADVICE) from problem
    except FileNotFoundError as problem:
        gone = place.archive or place
        raise PictureError(f"{name}: {gone} is not there; put it back", ADVICE) from problem
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise PictureError(
            f"{name}: cannot be read ({reason}); check {place.archive or place}", ADVICE
        ) from problem
    if not data:
        raise PictureError(f"{name}: 0 bytes; {EXPECTED}", ADVICE)
    return data
