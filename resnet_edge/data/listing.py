"""Files that must be pictures, as a folder or a table lists them, before any is opened."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resnet_edge.data.address import Source
from resnet_edge.data.places import Place
from resnet_edge.data.sides import Side
from resnet_edge.errors import DataError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that must be a picture."""

    place: Place
    name: str
    """Path relative to the root, with forward slashes; unique among all."""
    label: str
    side: Side | None = None
    """The side that its folder, or its line in the table, puts it on."""


@dataclass(frozen=True)
class Listing:
    """All files that must be pictures."""

    root: Source
    """The folder or the archive that names are relative to."""
    labels: tuple[str, ...]
    """In natural order of the folders, also those without pictures."""
    candidates: tuple[Candidate, ...]
    problems: tuple[str, ...]
    """Defects that names alone show, as ``name: reason``."""
    notes: tuple[str, ...]
    """What was recognised and what was passed over, in sentences."""


def take_sides(listing: Listing, sides: tuple[Side, ...], source: Source) -> Listing:
    """Of a split, keep the first of these sides that has pictures. All else stays as it is.

    Raises:
        DataError: There is a split, without pictures on one of the sides.
    """
    there = {candidate.side for candidate in listing.candidates}
    if not sides or there <= {None}:
        return listing
    side = next((side for side in sides if side in there), None)
    if side is None:
        raise DataError(
            f"{source}: a split without pictures for {sides[0].value}; expected some; pass the "
            "folder of those to take"
        )
    kept = tuple(replace(c, side=None) for c in listing.candidates if c.side is side)
    labels = {candidate.label for candidate in kept}
    return replace(
        listing,
        candidates=kept,
        labels=tuple(label for label in listing.labels if label in labels),
        notes=(*listing.notes, f"its pictures for {side.value} are taken"),
    )
