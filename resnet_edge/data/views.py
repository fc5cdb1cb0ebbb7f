"""Sequences whose items are made when they are asked for, out of columns that many share."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Protocol, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_AT_ONCE = 1 << 16


class Columns(Protocol[T_co]):
    """Values of many items, one column for each of their fields."""

    def __len__(self) -> int: ...

    def at(self, row: int, /) -> T_co:
        """Make the item of a row."""


class View(Sequence[T]):
    """Rows of columns: to its user an immutable sequence of items.

    A slice, or a choice by mask or places, shares the columns.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: npt.NDArray[np.int64]) -> None:
        self.rows = rows
        """Row of each item in the columns, int64 ``(n,)``."""

    @property
    @abstractmethod
    def columns(self) -> Columns[T]:
        """The values."""

    @abstractmethod
    def _choose(self, rows: npt.NDArray[np.int64]) -> Self:
        """Return other rows of the same columns."""

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Self: ...
    def __getitem__(
        self, place: int | slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]
    ) -> T | Self:
        """Return an item; or, of a slice, a mask ``(n,)`` or places, those items in that order."""
        if isinstance(place, slice | np.ndarray):
            return self._choose(self.rows[place])
        return self.columns.at(int(self.rows[operator.index(place)]))

    def __iter__(self) -> Iterator[T]:
        at = self.columns.at
        for start in range(0, len(self.rows), _AT_ONCE):
            yield from map(at, self.rows[start : start + _AT_ONCE].tolist())

    def __eq__(self, other: object) -> bool:
        """Equal to a tuple, or another view, of the same items."""
        if not isinstance(other, View | tuple):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as of a list: nobody keeps a million as a key

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"{type(self).__name__}({len(self)}: {shown}{', …' if len(self) > 3 else ''})"


def all_rows(count: int) -> npt.NDArray[np.int64]:
    """Return the numbers of all rows in order, int64 ``(count,)``."""
    return np.arange(count, dtype=np.int64)
