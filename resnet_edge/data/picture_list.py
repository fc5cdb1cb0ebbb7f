"""Lists of pictures in JSON files: names relative to a folder, classes and hashes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resnet_edge.data.address import Source
from resnet_edge.data.names import LONGEST_PART
from resnet_edge.data.pictures import Picture, Pictures, pictures_of
from resnet_edge.data.places import find_place, place_text


@dataclass(frozen=True, slots=True)
class ListedPicture:
    """A picture without its place on this machine."""

    name: str
    label: int
    sha256: str

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if "\0" in self.name or any(len(part.encode()) > LONGEST_PART for part in parts):
            raise ValueError(f"{self.name[:40]!a} is no name of a picture")


def list_pictures(pictures: Iterable[Picture]) -> tuple[ListedPicture, ...]:
    """Return pictures as a file lists them."""
    return tuple(ListedPicture(p.name, p.label, p.sha256) for p in pictures)


def find_pictures(
    listed: Sequence[ListedPicture], root: Source, places: Sequence[str] = ()
) -> Pictures:
    """Return the pictures of a list.

    Args:
        listed: The list.
        root: The folder, or the archive, that their names are relative to.
        places: Text of each one's place (``resnet_edge.data.places``); without, all are the files
            of their names.

    Raises:
        UsageError: A place is an address with a password in it.
        ValueError: A hash is none.
    """
    texts = places or ("",) * len(listed)
    return pictures_of(
        tuple(
            Picture(find_place(text, root, e.name), e.name, e.label, e.sha256)
            for e, text in zip(listed, texts, strict=True)
        )
    )


def list_places(pictures: Iterable[Picture], root: Source) -> tuple[str, ...]:
    """Return the texts of the places of pictures, as a file lists them beside the pictures."""
    return tuple(place_text(p.place, root, p.name) for p in pictures)
