"""Many texts in one piece of memory: a text costs its bytes and 8 more, not 60."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from resnet_edge.data.views import View, all_rows

_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False, slots=True)
class TextColumn:
    """Texts one after another."""

    blob: bytes
    """All texts in UTF-8; halves of surrogate pairs, which a name may have, are kept."""
    ends: npt.NDArray[np.int64]
    """Where each begins, and where the last one ends; int64 ``(n + 1,)``."""

    def __len__(self) -> int:
        return len(self.ends) - 1

    def at(self, row: int) -> str:
        """Return one of them."""
        return self.blob[self.ends[row] : self.ends[row + 1]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            ends = self.ends[start : start + _AT_ONCE + 1].tolist()
            for begin, end in itertools.pairwise(ends):
                yield self.blob[begin:end].decode("utf-8", "surrogatepass")

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of each, int64 ``(n,)``."""
        return np.diff(self.ends)


class GrowingTexts:
    """Takes texts one after another."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        """Take a text."""
        self._blob += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._blob))

    def column(self) -> TextColumn:
        """Return all of them."""
        return TextColumn(bytes(self._blob), np.array(self._ends, np.int64))


def text_column(texts: Iterable[str]) -> TextColumn:
    """Put texts one after another."""
    growing = GrowingTexts()
    for text in texts:
        growing.append(text)
    return growing.column()


def join_columns(columns: Sequence[TextColumn]) -> TextColumn:
    """Return the texts of several columns as one."""
    starts = np.cumsum([0, *(len(column.blob) for column in columns)])
    ends = [column.ends[1:] + start for column, start in zip(columns, starts, strict=False)]
    return TextColumn(
        b"".join(column.blob for column in columns), np.concatenate([np.zeros(1, np.int64), *ends])
    )


class Texts(View[str]):
    """Some of many texts, as a sequence."""

    __slots__ = ("column",)

    def __init__(self, column: TextColumn, rows: npt.NDArray[np.int64] | None = None) -> None:
        super().__init__(all_rows(len(column)) if rows is None else rows)
        self.column = column

    @property
    def columns(self) -> TextColumn:
        """See ``View``."""
        return self.column

    def _choose(self, rows: npt.NDArray[np.int64]) -> Self:
        return type(self)(self.column, rows)


def texts_of(texts: Sequence[str]) -> Texts:
    """Return a sequence of texts as columns; one that is that already as it is."""
    return texts if isinstance(texts, Texts) else Texts(text_column(texts))
