"""One figure of one artifact in two builds: how far apart, and whether that is more than noise.

Standard library only.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from resnet_edge.ondevice.measurements import Interval


class Change(enum.Enum):
    """What became of a figure from A to B."""

    BETTER = "better"
    WORSE = "worse"
    NOISE = "within noise"
    """They differ, by no more than another run or other pictures would make them."""
    SAME = "same"


class Figure(enum.Enum):
    """What is compared."""

    TOP1 = "top-1"
    AGREEMENT = "agreement"
    """With the build's own reference."""
    SQNR = "SQNR"
    """In dB, against the build's own reference."""
    SIZE = "size"
    """In bytes."""
    LATENCY = "p50"
    """Median of one inference, in seconds."""
    MEMORY = "memory"
    """Peak, in bytes."""
    LOAD = "load"
    """In seconds."""


SHARES = (Figure.TOP1, Figure.AGREEMENT)
"""Figures that differ by a difference of shares; all others but SQNR by a share of A's."""


@dataclass(frozen=True)
class Difference:
    """A figure in both builds."""

    figure: Figure
    a: float
    b: float
    change: Change
    amount: float
    """B less A: for shares and decibels as they are, for all else as a share of A's."""
    interval: Interval | None
    """Of ``amount``; None where a figure has none: it is exact, or was read once."""
    basis: str
    """What it rests on, in words."""
    where: str = ""
    """The machine, where it was measured on one."""
    runtime: str = ""
    threads: int | None = None
    regression: bool = False
    """Whether it is worse by more than is tolerated."""


def judge_interval(interval: Interval) -> int:
    """1 where the whole interval lies above 0, -1 where it lies below, 0 where it holds 0."""
    return (interval.low > 0) - (interval.high < 0)


def exceeds(loss: float, tolerated: float) -> bool:
    """Whether a loss is more than tolerated; 1050 bytes are no more than 5 % above 1000."""
    return loss > tolerated + 1e-9


def apart(one: float, other: float) -> float:
    """Distance of two figures as a share of the larger, the same either way round."""
    larger = max(one, other)
    return abs(one - other) / larger if larger > 0 else 0.0
