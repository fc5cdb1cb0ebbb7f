"""What a tree of folders was read from: a disk, a store, or the list of a tar file's members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

from resnet_edge.data import stores
from resnet_edge.data.address import Address, Source
from resnet_edge.data.places import FilePlace, ObjectPlace, Place, RangePlace


class Origin(Protocol):
    """Turns paths of a tree into places."""

    def place(self, path: PurePath) -> Place:
        """Return the place of a file of the tree."""

    def root(self, path: PurePath) -> Source:
        """Return what names below this folder of the tree are relative to."""

    def read(self, path: PurePath) -> bytes | None:
        """Read a small file in the tree, or around it; None where there is none."""

    def around(self) -> tuple[PurePath, ...]:
        """Return the folders around the tree, the nearest first."""


_LEVELS = 4
"""Folders around a tree that are looked into."""


@dataclass(frozen=True)
class OnDisk:
    """Folders of this machine; the tree's paths are absolute."""

    top: Path

    def place(self, path: PurePath) -> Place:
        """See ``Origin``."""
        return FilePlace(Path(path))

    def root(self, path: PurePath) -> Source:
        """See ``Origin``."""
        return Path(path)

    def read(self, path: PurePath) -> bytes | None:
        """See ``Origin``."""
        found = Path(path)
        return found.read_bytes() if found.is_file() else None

    def around(self) -> tuple[PurePath, ...]:
        """See ``Origin``."""
        return tuple(self.top.parents)[:_LEVELS]


@dataclass(frozen=True)
class InStore:
    """Folders of a store; the tree's paths are relative to ``top``."""

    top: Address
    files: Mapping[str, stores.StoredFile]
    """By the path in the tree."""

    def place(self, path: PurePath) -> Place:
        """See ``Origin``."""
        name = path.as_posix()
        return ObjectPlace(self.top / name, self.files[name].version)

    def root(self, path: PurePath) -> Source:
        """See ``Origin``."""
        return self.top / path.as_posix() if path.parts else self.top

    def read(self, path: PurePath) -> bytes | None:
        """See ``Origin``."""
        above = sum(part == ".." for part in path.parts)
        if not above and path.as_posix() not in self.files:
            return None
        address = self.top
        for _ in range(above):
            address = address.parent
        try:
            return stores.read_object(address / PurePath(*path.parts[above:]).as_posix())
        except FileNotFoundError:
            return None

    def around(self) -> tuple[PurePath, ...]:
        """See ``Origin``."""
        found, address = [], self.top
        for level in range(1, _LEVELS + 1):
            if address.parent == address:
                break
            address = address.parent
            found.append(PurePath(*[".."] * level))
        return tuple(found)


@dataclass(frozen=True)
class InArchive:
    """Folders in a tar file; the tree's paths are the members' names."""

    archive: Source
    members: Mapping[str, RangePlace]

    def place(self, path: PurePath) -> Place:
        """See ``Origin``."""
        return self.members[path.as_posix()]

    def root(self, path: PurePath) -> Source:
        """See ``Origin``."""
        return self.archive

    def read(self, path: PurePath) -> bytes | None:
        """See ``Origin``."""
        found = self.members.get(path.as_posix())
        return None if found is None else found.read_bytes()

    def around(self) -> tuple[PurePath, ...]:
        """See ``Origin``: an archive stands for itself."""
        return ()
