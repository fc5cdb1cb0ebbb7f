"""Places for the labels of a scatter plot that cover neither points nor each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_GRID = 4.0
"""The distance of the candidate places in pixels."""
_GAP = 5.0
"""The gap between a point and its label, in pixels."""


@dataclass(frozen=True)
class Box:
    """An upright rectangle in pixels, y upwards."""

    left: float
    bottom: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """True if both share an area."""
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.bottom < other.bottom + other.height
            and other.bottom < self.bottom + self.height
        )

    def contains(self, other: Box) -> bool:
        """True if ``other`` lies inside."""
        return (
            self.left <= other.left
            and self.bottom <= other.bottom
            and other.left + other.width <= self.left + self.width
            and other.bottom + other.height <= self.bottom + self.height
        )

    def distance(self, x: float, y: float) -> float:
        """Return the distance from a point to the nearest place of the box; 0 inside."""
        return math.dist((x, y), self.nearest(x, y))

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of the box that is nearest to a point."""
        return (
            min(max(x, self.left), self.left + self.width),
            min(max(y, self.bottom), self.bottom + self.height),
        )


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    taken: Sequence[Box] = (),
    marker: float = 0.0,
) -> tuple[Box, ...]:
    """Choose a place for each label: the free one that is nearest to its point.

    Greedy, in the order given. A label for which no free place is left stands beside its point and
    may cover others; no label is left out.

    Args:
        points: The points that have labels, in pixels.
        sizes: Width and height of each label in pixels.
        frame: The area in which labels may lie.
        taken: Areas that they must not cover.
        marker: Width of a point's marker. Labels keep off all markers, and further off those of
            other points, so that they are not read as theirs.

    Returns:
        A box per label.
    """
    occupied = list(taken)
    placed: list[Box] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        markers = [
            _around(point, marker if point == (x, y) else marker + 2 * _GAP) for point in points
        ]
        candidates = itertools.chain(
            _beside(x, y, width, height), _anywhere(x, y, width, height, frame)
        )
        free = (
            box
            for box in candidates
            if frame.contains(box) and not any(map(box.overlaps, (*occupied, *markers)))
        )
        box = next(free, Box(x + _GAP, y - height / 2, width, height))
        placed.append(box)
        occupied.append(box)
    return tuple(placed)


def _around(point: tuple[float, float], width: float) -> Box:
    return Box(point[0] - width / 2, point[1] - width / 2, width, width)


def _beside(x: float, y: float, width: float, height: float) -> Iterator[Box]:
    """Yield the places that a reader expects: right, left, above, below."""
    yield Box(x + _GAP, y - height / 2, width, height)
    yield Box(x - _GAP - width, y - height / 2, width, height)
    yield Box(x - width / 2, y + _GAP, width, height)
    yield Box(x - width / 2, y - _GAP - height, width, height)


def _anywhere(x: float, y: float, width: float, height: float, frame: Box) -> Iterator[Box]:
    columns = max(0, int((frame.width - width) // _GRID)) + 1
    rows = max(0, int((frame.height - height) // _GRID)) + 1
    places = (
        Box(frame.left + column * _GRID, frame.bottom + row * _GRID, width, height)
        for column in range(columns)
        for row in range(rows)
    )
    yield from sorted(places, key=lambda box: box.distance(x, y))
