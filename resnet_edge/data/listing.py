"""Files that must be pictures, as a folder or a table lists them, before any is opened."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from resnet_edge.data.address import Source
from resnet_edge.data.place_columns import GrowingPlaces, PlaceColumns
from resnet_edge.data.places import Place
from resnet_edge.data.sides import Side
from resnet_edge.data.texts import GrowingTexts, TextColumn
from resnet_edge.data.views import View, all_rows
from resnet_edge.errors import DataError

_SIDES: tuple[Side | None, ...] = (None, *Side)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that must be a picture."""

    place: Place
    name: str
    """Path relative to the root, with forward slashes; unique among all."""
    label: str
    side: Side | None = None
    """The side that its folder, or its line in the table, puts it on."""


@dataclass(frozen=True, eq=False, slots=True)
class CandidateColumns:
    """The fields of many candidates."""

    names: TextColumn
    places: PlaceColumns
    labels: tuple[str, ...]
    """Each label once."""
    label: npt.NDArray[np.int32]
    """Index of each one's label, ``(n,)``."""
    side: npt.NDArray[np.int8]
    """0 where there is none, else 1 and more in the order of ``Side``; ``(n,)``."""

    def __len__(self) -> int:
        return len(self.label)

    def at(self, row: int) -> Candidate:
        """Make the candidate of a row."""
        name, label = self.names.at(row), self.labels[self.label[row]]
        return Candidate(self.places.at(row, name), name, label, _SIDES[self.side[row]])


class Candidates(View[Candidate]):
    """Candidates as a sequence."""

    __slots__ = ("_columns",)

    def __init__(
        self, columns: CandidateColumns, rows: npt.NDArray[np.int64] | None = None
    ) -> None:
        super().__init__(all_rows(len(columns)) if rows is None else rows)
        self._columns = columns

    @property
    def columns(self) -> CandidateColumns:
        """See ``View``."""
        return self._columns

    def _choose(self, rows: npt.NDArray[np.int64]) -> Self:
        return type(self)(self._columns, rows)

    def places(self) -> Iterator[tuple[int, str]]:
        """Yield the row and the name of each, by which the columns of places are asked."""
        rows = self.rows.tolist()
        return zip(rows, map(self._columns.names.at, rows), strict=True)

    def place_keys(self) -> Iterator[str]:
        """Yield what ``places.place_key`` returns of each one's place."""
        return itertools.starmap(self._columns.places.key, self.places())

    def labels(self) -> set[str]:
        """Return the labels that there are."""
        return {self._columns.labels[i] for i in np.unique(self._columns.label[self.rows])}

    def sides(self) -> set[Side | None]:
        """Return the sides that there are."""
        return {_SIDES[i] for i in np.unique(self._columns.side[self.rows])}

    def on(self, side: Side | None) -> Candidates:
        """Return those of one side."""
        return self[np.asarray(self._columns.side[self.rows] == _SIDES.index(side))]

    def sides_of_each(self) -> tuple[Side | None, ...]:
        """Return the side of each."""
        return tuple(_SIDES[i] for i in self._columns.side[self.rows].tolist())

    def without_sides(self) -> Candidates:
        """Return the same ones, as if no side had been told."""
        columns = replace(self._columns, side=np.zeros_like(self._columns.side))
        return Candidates(columns, self.rows)


class GrowingCandidates:
    """Takes candidates one after another."""

    def __init__(self) -> None:
        self._names, self._places = GrowingTexts(), GrowingPlaces()
        self._labels: dict[str, int] = {}
        self._label, self._side = array("i"), array("b")

    def append(self, candidate: Candidate) -> None:
        """Take a candidate."""
        self._names.append(candidate.name)
        self._places.append(candidate.place, candidate.name)
        self._label.append(self._labels.setdefault(candidate.label, len(self._labels)))
        self._side.append(_SIDES.index(candidate.side))

    def done(self) -> Candidates:
        """Return all of them."""
        return Candidates(
            CandidateColumns(
                self._names.column(),
                self._places.columns(),
                tuple(self._labels),
                np.array(self._label, np.int32),
                np.array(self._side, np.int8),
            )
        )


def candidates_of(candidates: Iterable[Candidate]) -> Candidates:
    """Put candidates into columns."""
    growing = GrowingCandidates()
    for candidate in candidates:
        growing.append(candidate)
    return growing.done()


@dataclass(frozen=True)
class Listing:
    """All files that must be pictures."""

    root: Source
    """The folder or the archive that names are relative to."""
    labels: tuple[str, ...]
    """In natural order of the folders, also those without pictures."""
    candidates: Candidates
    problems: tuple[str, ...]
    """Defects that names alone show, as ``name: reason``."""
    notes: tuple[str, ...]
    """What was recognised and what was passed over, in sentences."""


def take_sides(listing: Listing, sides: tuple[Side, ...], source: Source) -> Listing:
    """Of a split, keep the first of these sides that has pictures. All else stays as it is.

    Raises:
        DataError: There is a split, without pictures on one of the sides.
    """
    there = listing.candidates.sides()
    if not sides or there <= {None}:
        return listing
    side = next((side for side in sides if side in there), None)
    if side is None:
        raise DataError(
            f"{source}: a split without pictures for {sides[0].value}; expected some; pass the "
            "folder of those to take"
        )
    kept = listing.candidates.on(side).without_sides()
    labels = kept.labels()
    return replace(
        listing,
        candidates=kept,
        labels=tuple(label for label in listing.labels if label in labels),
        notes=(*listing.notes, f"its pictures for {side.value} are taken"),
    )
