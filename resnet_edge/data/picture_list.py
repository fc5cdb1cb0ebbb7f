"""Lists of pictures in JSON files: names relative to a folder, classes and hashes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.dataset import Picture


@dataclass(frozen=True)
class ListedPicture:
    """A picture without its place on this machine."""

    name: str
    label: int
    sha256: str


def list_pictures(pictures: Iterable[Picture]) -> tuple[ListedPicture, ...]:
    """Return pictures as a file lists them."""
    return tuple(ListedPicture(p.name, p.label, p.sha256) for p in pictures)


def find_pictures(listed: Iterable[ListedPicture], root: Path) -> tuple[Picture, ...]:
    """Return the pictures of a list, below the folder that their names are relative to."""
    return tuple(Picture(root / e.name, e.name, e.label, e.sha256) for e in listed)
