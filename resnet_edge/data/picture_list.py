"""Lists of pictures in JSON files: names relative to a folder, classes and hashes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.dataset import Picture

_LONGEST_PART = 255
"""Bytes of the longest name of a file or folder in any system."""


@dataclass(frozen=True)
class ListedPicture:
    """A picture without its place on this machine."""

    name: str
    label: int
    sha256: str

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if "\0" in self.name or any(len(part.encode()) > _LONGEST_PART for part in parts):
            raise ValueError(f"{self.name[:40]!a} is no name of a picture")


def list_pictures(pictures: Iterable[Picture]) -> tuple[ListedPicture, ...]:
    """Return pictures as a file lists them."""
    return tuple(ListedPicture(p.name, p.label, p.sha256) for p in pictures)


def find_pictures(listed: Iterable[ListedPicture], root: Path) -> tuple[Picture, ...]:
    """Return the pictures of a list, below the folder that their names are relative to."""
    return tuple(Picture(root / e.name, e.name, e.label, e.sha256) for e in listed)
